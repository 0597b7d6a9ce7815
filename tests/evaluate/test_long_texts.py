"""Each data set of LongBench has its own prompt and score; what is not known, or cannot be scored, is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from aag_ray.config import LongTextSection
from aag_ray.config.zero_shot import LongTextMetric
from aag_ray.evaluate.long_texts import LONG_TASKS, OTHER_TASKS, long_texts
from aag_ray.evaluate.zero_shot_files import LongTextRow
from aag_ray.evaluate.zero_shot_table import OWN
from aag_ray.evaluate.zero_shot_tasks import SHORT_ANSWER, Setting, prompt_text
from aag_ray.qa_files import QaFileError

METRICS: tuple[LongTextMetric, ...] = get_args(LongTextMetric)
SECTION = LongTextSection(file=Path("long.jsonl"))


class WithoutTemplate:
    chat_template = None


def row(data_set: str, asked: str = "", *answers: str, **more: Any) -> LongTextRow:
    return LongTextRow(input=asked, context="A text.", answers=list(answers) or ["x"], dataset=data_set, **more)


def shown(setting: Setting) -> str:
    return prompt_text(WithoutTemplate(), setting.asked[0], setting.asked[0].parts)


def test_long_texts_are_asked_as_their_data_set_wants():
    rows = [row("gov_report_e"), row("trec", "Question: Who?\nType:", all_classes=["x"]), row("qasper", "Who?"), row("qasper")]
    report, trec, qasper = long_texts(rows, SECTION.model_copy(update={"rows": 1}))
    assert (report.name, report.lines, report.tokens) == ("long_text/gov_report_e", True, 512)
    assert shown(trec).endswith("A text.\nQuestion: Who?\nType:")
    assert not trec.asked[0].chat
    assert shown(qasper).endswith("A text.\nQuestion: Who?\nAnswer:")
    assert [len(setting.asked) for setting in (report, trec, qasper)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("names", "scores"),
    [
        ("narrativeqa qasper multifieldqa_en hotpotqa 2wikimqa musique triviaqa", list(SHORT_ANSWER)),
        ("multifieldqa_zh", ["character_f1"]),
        ("dureader gov_report qmsum multi_news vcsum samsum", ["rouge_l"]),
        ("trec lsht", ["accuracy"]),
        ("passage_count passage_retrieval_en passage_retrieval_zh", ["numbers"]),
        ("lcc repobench-p", ["edit_similarity"]),
    ],
)
def test_each_data_set_has_the_score_of_longbench(names: str, scores: list[str]):
    settings = long_texts([row(name, "", "7", all_classes=["7"]) for name in names.split()], SECTION)
    assert [list(setting.measures) for setting in settings] == [scores] * len(settings)


def test_there_are_21_data_sets_and_a_column_for_every_score():
    assert len(LONG_TASKS) == 21
    assert set(OTHER_TASKS) == set(METRICS) == {"f1", *OWN}
    assert all(task.metric == metric for metric, task in OTHER_TASKS.items())


def test_code_goes_on_after_its_first_line_which_may_be_a_comment():
    code, dialogue = long_texts([row("lcc"), row("samsum", "Dialogue: Hi!\nSummary:")], SECTION)
    assert (code.lines, dialogue.lines) == (True, False)
    assert code.measures["edit_similarity"]("```\nx", ["x"]) == 1.0


def test_the_classes_are_those_of_all_rows():
    rows = [row("trec", "", "Date", all_classes=["Date"]), row("trec", "", "Place", all_classes=["Date", "Place"])]
    (setting,) = long_texts(rows, SECTION)
    assert setting.measures["accuracy"]("Date or Place", ["Place"]) == 1 / 2


def test_an_unknown_data_set_is_refused_unless_a_metric_is_named_for_it():
    with pytest.raises(QaFileError, match=r"long\.jsonl, row text-1: data set 'ours' is none of 2wikimqa, .*, vcsum; ") as told:
        long_texts([row("qasper"), row("ours")], SECTION)
    assert str(told.value).endswith(f"long_text.metric says how others are scored: {', '.join(METRICS)}")
    for metric in METRICS:
        rows = [row("qasper"), row("ours", "Who?", "7", all_classes=["7"])]
        known, other = long_texts(rows, SECTION.model_copy(update={"metric": metric}))
        assert list(known.measures) == list(SHORT_ANSWER)
        assert metric in other.measures


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (row("trec", _id="x7"), "long.jsonl, row x7: trec is scored by accuracy, which needs the names of all classes"),
        (row("lsht_e", all_classes=[]), "row text-0: lsht_e is scored by accuracy"),
        (row("passage_count", "", "7", "many"), "passage_count is scored by numbers: answer 'many' holds no number"),
    ],
)
def test_a_row_that_its_metric_cannot_score_is_named(bad: LongTextRow, told: str):
    with pytest.raises(QaFileError, match=told):
        long_texts([bad], SECTION)
