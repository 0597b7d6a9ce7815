"""A text while its tokens come: the pieces make the whole, no piece ends within a character, and one piece ends it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from aag_ray.llm.written import StreamPiece, WrittenText


def pieces(tokenizer: PreTrainedTokenizerFast, tokens: list[int], most: int, *, cut: bool = False) -> list[StreamPiece]:
    written, found = WrittenText(tokenizer, 3, most), []
    for number, token in enumerate(tokens, 1):
        piece = written.add(token, -0.5 * number, last=cut and number == len(tokens))
        if piece is not None:
            found.append(piece)
            if piece.end:
                break
    return found


def tokens_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[return-value]


def test_the_end_token_and_a_newline_stop_and_the_bound_cuts(tiny_tokenizer: PreTrainedTokenizerFast):
    answer = tokens_of(tiny_tokenizer, "The yen")
    newline = tokens_of(tiny_tokenizer, "\nmore")
    ended = pieces(tiny_tokenizer, [*answer, 1, *newline], 99)[-1]
    assert (ended.end, ended.new_tokens, ended.prompt_tokens) == ("stop", len(answer) + 1, 3)
    assert "".join(piece.text for piece in pieces(tiny_tokenizer, [*answer, *newline], 99)) == "The yen"
    assert [piece.end for piece in pieces(tiny_tokenizer, answer, len(answer))][-1] == "length"
    assert [piece.end for piece in pieces(tiny_tokenizer, answer, 99, cut=True)][-1] == "length"


def test_the_likelihood_is_the_mean_of_what_was_written_without_the_stop(tiny_tokenizer: PreTrainedTokenizerFast):
    answer = tokens_of(tiny_tokenizer, "The yen")
    expected = math.exp(-0.5 * sum(range(1, len(answer) + 1)) / len(answer))
    for stopped in ([*answer, 1], [*answer, *tokens_of(tiny_tokenizer, "\n")]):
        assert pieces(tiny_tokenizer, stopped, 99)[-1].likelihood == pytest.approx(expected)
    assert pieces(tiny_tokenizer, answer, len(answer))[-1].likelihood == pytest.approx(expected)
    assert pieces(tiny_tokenizer, [1], 99)[-1].likelihood == 0


def test_a_character_comes_whole(tiny_tokenizer: PreTrainedTokenizerFast):
    shown = [piece.text for piece in pieces(tiny_tokenizer, tokens_of(tiny_tokenizer, "a€😀b\n"), 99)]
    assert "".join(shown) == "a€😀b"
    assert not any("\ufffd" in text for text in shown)


@given(st.text(alphabet=st.characters(exclude_characters="\n\ufffd", exclude_categories=("Cs",)), max_size=40))
def test_pieces_make_the_text(tiny_tokenizer: PreTrainedTokenizerFast, text: str):
    found = pieces(tiny_tokenizer, [*tokens_of(tiny_tokenizer, text), 1], 999)
    assert "".join(piece.text for piece in found) == text
    assert [bool(piece.end) for piece in found] == [False] * (len(found) - 1) + [True]
