"""What stands in the prompts: the same question in every mode, the right passage and key at their positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from aag_ray import prompts
from aag_ray.config import KeyValueSection, MultiDocumentSection, OpenQaSection
from aag_ray.evaluate.zero_shot_tasks import (
    Asked,
    imagining,
    key_value,
    made_key_values,
    multi_document,
    open_qa,
    prompt_text,
)
from aag_ray.records import Passage, Question

GOLD = Passage("g", "Peru", "Lima is the capital.", 1.0, has_answer=True)
OTHERS = tuple(Passage(f"p{n}", f"Place {n}", "Nothing here.", 0.5 / n, has_answer=False) for n in range(1, 9))
QUESTION = Question("q1", "What is the capital of Peru?", ("Lima",), (OTHERS[0], GOLD, *OTHERS[1:]))


@pytest.fixture
def plain(tiny_tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> PreTrainedTokenizerFast:
    monkeypatch.setattr(tiny_tokenizer, "chat_template", None)
    return tiny_tokenizer


def shown(tokenizer: Any, asked: Asked) -> str:
    return prompt_text(tokenizer, asked, asked.parts)


def test_a_model_is_asked_as_everywhere_else(tiny_tokenizer: PreTrainedTokenizerFast):
    closed = open_qa("closed_book", [QUESTION], OpenQaSection()).asked[0]
    imagined = open_qa("imagined", [QUESTION], OpenQaSection(), ["Lima\nis large."]).asked[0]
    assert shown(tiny_tokenizer, closed) == prompts.zero_shot_prompt(tiny_tokenizer, QUESTION.question)
    assert shown(tiny_tokenizer, imagined) == prompts.zero_shot_prompt(tiny_tokenizer, QUESTION.question, "Lima is large.")
    assert open_qa("imagined", [QUESTION], OpenQaSection(), [" "]).asked[0].parts == ()


def test_a_model_without_a_chat_template_goes_on_with_a_text(plain: PreTrainedTokenizerFast):
    closed = open_qa("closed_book", [QUESTION], OpenQaSection()).asked[0]
    assert shown(plain, closed) == prompts.zero_shot_prompt(plain, QUESTION.question)
    assert shown(plain, imagining([QUESTION], 8).asked[0]).endswith("Peru?\nPassage:")


def test_the_first_token_is_not_put_twice(tiny_tokenizer: PreTrainedTokenizerFast):
    class Llamas:
        """A template and a tokenizer that both begin with <s>, as those of Llama do."""

        chat_template, bos_token, bos_token_id = "any", "<s>", 0

        def apply_chat_template(self, turn: list[dict[str, str]], **more: bool) -> str:
            return f"<s>{turn[0]['content']}"

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [0, *tiny_tokenizer(text)["input_ids"]]}  # type: ignore[list-item]

    assert prompt_text(Llamas(), Asked("1", ("x",), "Who?", before=""), ()) == "Who?"


def test_retrieval_shows_the_best_passages_and_names_a_row_without_any():
    setting = open_qa("retrieval", [QUESTION, replace(QUESTION, id="q2", contexts=())], OpenQaSection(passages=2))
    assert setting.asked[0].parts == ("[1] Place 1: Nothing here.", "[2] Peru: Lima is the capital.")
    assert setting.asked[1].lacking == "q2 has no passages"


def test_the_passage_that_holds_the_answer_stands_at_each_position():
    settings = multi_document([QUESTION], MultiDocumentSection(documents=4, positions=(1, 2, 4), orders=("ranked",)), 0)
    assert [setting.name for setting in settings] == [f"multi_document/ranked/{position}" for position in (1, 2, 4)]
    for setting, position in zip(settings, (1, 2, 4), strict=True):
        parts = setting.asked[0].parts
        assert parts[position - 1] == f"[{position}] Peru: Lima is the capital."
        assert [part[4:] for part in parts if "Peru" not in part] == [f"Place {n}: Nothing here." for n in (1, 2, 3)]


def test_orders_change_the_others_or_say_the_question_twice():
    section = MultiDocumentSection(documents=8, positions=(3, 5))
    settings = {each.name: each.asked[0] for each in multi_document([QUESTION], section, 0)}
    drawn = [[part[4:] for part in settings[f"multi_document/random/{at}"].parts if "Peru" not in part] for at in (3, 5)]
    ranked = [part[4:] for part in settings["multi_document/ranked/3"].parts if "Peru" not in part]
    assert drawn[0] == drawn[1] != ranked
    assert sorted(drawn[0]) == sorted(ranked)
    assert "random order" in settings["multi_document/random/3"].before
    assert settings["multi_document/query_aware/3"].before.endswith(f"\nQuestion: {QUESTION.question}")


@pytest.mark.parametrize(
    ("contexts", "told"),
    [(OTHERS, "q1 has no passage that holds an answer"), ((GOLD, *OTHERS[:2]), "q1 has 2 passages without an answer, not 4")],
)
def test_a_row_without_the_passages_of_its_task_is_named(contexts: tuple[Passage, ...], told: str):
    setting = multi_document([replace(QUESTION, contexts=contexts)], MultiDocumentSection(), 0)[0]
    assert setting.asked[0].lacking == told


def test_where_no_file_says_which_passage_holds_the_answer_it_is_looked_up():
    unknown = replace(QUESTION, contexts=tuple(replace(each, has_answer=None) for each in QUESTION.contexts))
    asked = multi_document([unknown], MultiDocumentSection(documents=2, positions=(1,)), 0)[0].asked[0]
    assert asked.parts == ("[1] Peru: Lima is the capital.", "[2] Place 1: Nothing here.")


def test_the_key_stands_at_each_position_among_as_many_as_wanted():
    rows = made_key_values(3, 9, seed=1)
    settings = key_value(rows, KeyValueSection(keys=5, positions=(1, 3, 5), query_aware=True))
    for setting, position in zip(settings, (1, 3, 5), strict=True):
        for asked, row in zip(setting.asked, rows, strict=True):
            assert len(asked.parts) == 5
            assert asked.parts[position - 1] == f'"{row.key}": "{row.value}"'
            assert asked.answers == (row.value,)
            assert asked.after == f'Key: "{row.key}"'
            assert asked.before.endswith(asked.after)
    assert key_value(rows, KeyValueSection(keys=12, positions=(1,)))[0].asked[0].lacking == "row 0 has 9 keys, not 12"
    assert made_key_values(3, 9, seed=1) == rows != made_key_values(3, 9, seed=2)
