"""The grammar in tokens: whatever a model would like to say, what it writes is an output for its page."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LogitsProcessorList, PreTrainedTokenizerFast

from aag_ray.extract.grammar import END, TagGrammar
from aag_ray.extract.token_masks import TagConstraint, TokenMasks, token_pieces
from aag_ray.llm.engine import pad
from aag_ray.llm.load import LoadedModel
from aag_ray.pages.tag_output import HEADER, OutputOutcome, parse_strict

OUTPUTS = [f"{HEADER}[[<T-{n}>, <T-{n + 1}>~<T-{n + 30}>], [<T-{2 * n}>]]" for n in range(1, 1200, 7)] + [f"{HEADER}None"] * 50


def trained(model: Any, pre: Any, decoder: Any, trainer: Any) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoder
    tokenizer.train_from_iterator(OUTPUTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


@pytest.fixture(scope="module")
def merging() -> PreTrainedTokenizerFast:
    """A byte-level BPE that learned the outputs themselves: tokens cross the borders of tags, numbers and brackets."""
    special = ["<s>", "</s>", "<pad>", "<T-1>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return trained(models.BPE(), byte_level, decoders.ByteLevel(), trainer)


@pytest.fixture(scope="module")
def spaced() -> PreTrainedTokenizerFast:
    """A tokenizer that marks spaces as SentencePiece does, and drops the first one when it decodes."""
    letters = sorted(set("".join(OUTPUTS)) | set("abcdefghijklmnopqrstuvwxyz0123456789▁"))
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=letters, show_progress=False
    )
    return trained(models.BPE(), pre_tokenizers.Metaspace(), decoders.Metaspace(), trainer)


@pytest.fixture(params=["tiny_tokenizer", "merging", "spaced"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return request.getfixturevalue(request.param)


def test_pieces_are_what_tokens_add_to_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    pieces = token_pieces(tokenizer)
    for output in OUTPUTS[:20]:
        ids = tokenizer.encode(f"a{output}", add_special_tokens=False)
        assert "".join(pieces.get(token, "?") for token in ids).lstrip(" ?").endswith(output.lstrip("#")[-20:])
    assert not set(pieces) & set(tokenizer.all_special_ids)
    assert {"<", "T", "-", "0", "~", "[", " "} <= set(pieces.values())


def test_a_whole_tag_can_be_one_token_but_ends_and_padding_say_nothing(merging: PreTrainedTokenizerFast) -> None:
    masks = TokenMasks(merging)
    assert masks.pieces[merging.convert_tokens_to_ids("<T-1>")] == "<T-1>"  # type: ignore[index]
    assert not set(masks.pieces) & set(merging.all_special_ids)
    assert masks.text([merging.eos_token_id, merging.pad_token_id]) == ""  # type: ignore[list-item]


def test_following_tokens_are_exactly_those_whose_text_the_grammar_takes(tokenizer: PreTrainedTokenizerFast) -> None:
    masks, grammar, choice = TokenMasks(tokenizer), TagGrammar(9, 112), random.Random(1)
    state = grammar.start
    for _ in range(60):
        following = masks.following(grammar, state)
        expected = {token: grammar.walk(piece, state) for token, piece in masks.pieces.items()}
        assert following == {token: after for token, after in expected.items() if after is not None}
        if not following:
            break
        state = following[choice.choice(sorted(following))]


@pytest.mark.parametrize("header", [True, False])
def test_thousands_of_random_outputs_hold_no_invalid_tag(tokenizer: PreTrainedTokenizerFast, header: bool) -> None:
    masks, choice = TokenMasks(tokenizer), random.Random(29)
    outcomes: Counter[OutputOutcome] = Counter()
    windows = [(first, first + more) for first, more in ((1, -1), (1, 0), (1, 12), (8, 95), (95, 300), (990, 60))]
    for number in range(1200):
        first, last = windows[number % len(windows)]
        grammar = TagGrammar(first, last, header)
        most = choice.choice([45, 70, 150])
        state, tokens = grammar.start, []
        while state != END:
            tokens.append(choice.choice(masks.allowed(grammar, state, most - len(tokens))))
            state = masks.following(grammar, state)[tokens[-1]]
            assert len(tokens) <= most
        assert masks.state(grammar, tokens) == END
        read = parse_strict(masks.text(tokens) if header else HEADER + masks.text(tokens), max(last, 0))
        outcomes[read.outcome] += 1
        assert all(first <= tag <= last for tag in read.numbers)
    assert outcomes[OutputOutcome.UNREADABLE] == 0
    assert outcomes[OutputOutcome.TAGS] > 200


def test_at_the_end_only_the_end_token_may_follow(tokenizer: PreTrainedTokenizerFast) -> None:
    masks, grammar = TokenMasks(tokenizer), TagGrammar(1, 5)
    assert masks.allowed(grammar, END, 50) == [tokenizer.eos_token_id]
    assert masks.following(grammar, END) == {}


def test_few_tokens_left_are_used_to_come_to_an_end(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    masks, grammar = TokenMasks(tiny_tokenizer), TagGrammar(1, 5, header=False)
    assert {masks.pieces[token] for token in masks.allowed(grammar, grammar.start, 4)} == {"N"}
    open_item = grammar.walk("[[<T-3>")
    assert open_item is not None
    assert {masks.pieces[token] for token in masks.allowed(grammar, open_item, 2)} == {"]"}


def test_a_tokenizer_that_cannot_say_it_is_refused() -> None:
    vocabulary = {"<s>": 0, "</s>": 1, "<pad>": 2, "a": 3, "None": 4}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    limited = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", pad_token="<pad>", bos_token="<s>")
    with pytest.raises(ValueError, match="has no token for"):
        TokenMasks(limited)


def generated(tiny: LoadedModel, grammars: list[TagGrammar], most: int, **options: Any) -> tuple[TokenMasks, list[list[int]]]:
    tokenizer: Any = tiny.tokenizer
    prompts = [tokenizer(f"Question {'gold ' * number}:")["input_ids"] for number in range(1, len(grammars) + 1)]
    ids, mask = pad(prompts, tokenizer.pad_token_id, left=True, device=tiny.device)
    masks = TokenMasks(tokenizer)
    model: Any = tiny.model
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=most,
        logits_processor=LogitsProcessorList([TagConstraint(masks, grammars, most)]),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **options,
    )
    return masks, output[:, ids.shape[1] :].tolist()


@pytest.mark.parametrize(
    "options", [{"do_sample": False}, {"do_sample": True, "temperature": 3.0}, {"do_sample": False, "num_beams": 3}]
)
def test_every_row_of_a_batch_writes_for_its_own_page(tiny: LoadedModel, options: dict[str, Any]) -> None:
    torch.manual_seed(5)
    grammars = [TagGrammar(first, first + 9) for first in (1, 40, 300)] + [TagGrammar(1, 0)]
    masks, rows = generated(tiny, grammars, 90, **options)
    for grammar, row in zip(grammars, rows, strict=True):
        read = parse_strict(masks.text(row), max(grammar.last, 0))
        assert read.outcome is not OutputOutcome.UNREADABLE
        assert all(grammar.first <= number <= grammar.last for number in read.numbers)


def test_numbers_that_are_none_do_not_open_the_way_to_other_tokens(tiny: LoadedModel) -> None:
    masks = TokenMasks(tiny.tokenizer)
    for broken in (float("nan"), float("-inf")):
        constraint = TagConstraint(masks, [TagGrammar(1, 5)], 60)
        ids = torch.zeros(1, 4, dtype=torch.long)
        scores = constraint(ids, torch.full((1, 384), broken))  # type: ignore[arg-type]
        assert masks.pieces[int(scores.argmax())][0] == "#"


def test_too_few_tokens_for_any_output_are_refused(tiny: LoadedModel) -> None:
    with pytest.raises(ValueError, match="max_new_tokens=20 is too few for an output; at least 32 are needed"):
        TagConstraint(TokenMasks(tiny.tokenizer), [TagGrammar(1, 5)], 20)
