"""Texts held to a form while they are decoded: the likeliest token that still leads there, and an end only at one."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LogitsProcessorList

from aag_ray.llm.engine import decoded, newline_tokens
from aag_ray.llm.forms import Expression, Form, FormConstraint
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.numbers import SourceNumbers

JSON = Expression(r'\{"q": "[a-zé ]{1,9}", "lang": (?:null|"[a-z]{2}")\}')


@pytest.mark.parametrize("text", ["", "{", '{"q": "', '{"q": "gold', '{"q": "gold", "lang": nu', '{"q": "gold", "lang": "de"}'])
def test_a_beginning_is_allowed_until_it_ends(text: str) -> None:
    assert JSON.allow(text, ended=False)
    assert JSON.allow(text, ended=True) is text.endswith("}")


@pytest.mark.parametrize(
    "text", ["x", '{"q": ""', '{"q": "gold", "lang": no', '{"q": "more than nine"', '{"q": "a", "lang": null}}']
)
def test_what_leads_nowhere_is_not(text: str) -> None:
    assert not JSON.allow(text, ended=False)


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        Expression("(")


@given(q=st.text("ab é", min_size=1, max_size=9), lang=st.sampled_from([None, "de"]))
def test_every_beginning_of_a_match_is_allowed(q: str, lang: str | None) -> None:
    text = json.dumps({"q": q, "lang": lang}, ensure_ascii=False)
    assert JSON.allow(text, ended=True)
    assert all(JSON.allow(text[:end], ended=False) for end in range(len(text) + 1))


@pytest.mark.parametrize("forms", [[SourceNumbers(["12 3,456"]), None, SourceNumbers(["7"])], [JSON, None, JSON]])
def test_a_model_that_is_held_keeps_to_its_form_and_a_row_that_is_not_is_free(
    tiny: LoadedModel, forms: list[Form | None]
) -> None:
    tokenizer: Any = tiny.tokenizer
    prompts = [tokenizer(text)["input_ids"] for text in ("Numbers: 1", "Numbers: 1", "Count 4 5")]
    ends = [*newline_tokens(tokenizer), tokenizer.eos_token_id]
    free = decoded(tiny, prompts, 40, ends)

    constraint = FormConstraint(tokenizer, forms, ends)
    held = decoded(tiny, prompts, 40, ends, logits_processor=LogitsProcessorList([constraint]))

    assert held[1] == free[1]
    for form, row in zip(forms, held, strict=True):
        text = tokenizer.decode(row, skip_special_tokens=True).split("\n")[0]
        assert form is None or form.allow(text, ended=row[-1] in ends)
        assert form is not JSON or json.loads(text)


@pytest.mark.parametrize("form", [SourceNumbers(["8"]), Expression("8|(?:word)+")])
def test_the_likeliest_allowed_token_is_taken_and_what_was_allowed_stays(tiny: LoadedModel, form: Form) -> None:
    tokenizer: Any = tiny.tokenizer
    nine, eight, word = (tokenizer(text, add_special_tokens=False)["input_ids"][-1] for text in ("9", "8", "w"))
    constraint = FormConstraint(tokenizer, [form], [tokenizer.eos_token_id])
    scores = torch.full((1, len(tokenizer)), -9.0)
    scores[0, [nine, eight, word]] = torch.tensor([3.0, 2.0, 1.0])

    assert int(constraint(torch.tensor([[1, 2]]), scores.clone())[0].argmax()) == eight
    scores[0, word] = 5.0
    assert int(constraint(torch.tensor([[1, 2]]), scores.clone())[0].argmax()) == word


def test_a_text_ends_only_where_it_is_whole_and_only_there_is_it_left_alone(tiny: LoadedModel) -> None:
    tokenizer: Any = tiny.tokenizer
    end, letter = tokenizer.eos_token_id, tokenizer("a", add_special_tokens=False)["input_ids"][-1]
    scores = torch.full((1, len(tokenizer)), -9.0)
    scores[0, [end, letter]] = torch.tensor([3.0, 2.0])

    def next_token(written: list[int]) -> int:
        constraint = FormConstraint(tokenizer, [Expression("aa")], [end])
        constraint(torch.tensor([[1]]), scores.clone())
        return int(constraint(torch.tensor([[1, *written]]), scores.clone())[0].argmax())

    assert [next_token([letter] * count) for count in (0, 1, 2)] == [letter, letter, end]
    assert next_token([letter, letter, end]) == end
