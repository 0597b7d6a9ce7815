"""What a parser's model is trained on."""

from __future__ import annotations

from datetime import date

from aag_ray.answer.parsed import read_parsed
from aag_ray.answer.parsing import prompts
from aag_ray.answer.parsing.examples import Labelled, Need, ParserExample
from aag_ray.train.parser_rows import sft_rows

TODAY = date(2026, 5, 4)


def example(need: Need, *conversation: str) -> ParserExample:
    return ParserExample("x", need, "de", conversation, "Wer regiert in Peru?", "Peru Regierung", TODAY, "month")


def test_a_question_gives_a_decision_and_a_search_a_follow_up_a_question_too():
    alone = sft_rows([Labelled(example(Need.MEASURED, "Wer regiert in Peru?"), False, 0.1)])
    assert [row["id"] for row in alone] == ["x#decide", "x#search"]
    after = sft_rows([Labelled(example(Need.TIMELY, "Hauptstadt von Peru?", "Lima", "Und wer regiert?"), True, 0.1)])
    assert [row["id"] for row in after] == ["x#decide", "x#search", "x#rewrite"]
    assert after[0]["target"] == prompts.YES
    assert "Und wer regiert?" in after[2]["prompt"]
    assert after[2]["target"] == " Wer regiert in Peru?\n"


def test_an_errand_is_decided_and_never_searched_for():
    [row] = sft_rows([Labelled(example(Need.ERRAND, "Danke."), False, 0.1)])
    assert (row["id"], row["target"]) == ("x#decide", prompts.NO)


def test_prompt_and_target_of_a_search_are_an_output_that_is_read():
    row = sft_rows([Labelled(example(Need.TIMELY, "Wer regiert in Peru?"), True, 0.1)])[1]
    parsed = read_parsed((row["prompt"] + row["target"]).split("\n", 1)[1])
    assert (parsed.search, parsed.queries[0].query, parsed.queries[0].language) == (True, "Peru Regierung", "de")
    assert parsed.time_sensitive
