"""What is asked about long texts in LongBench's form: each data set's prompt, length and metric, by its name in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from aag_ray.config import LongTextSection
from aag_ray.config.zero_shot import LongTextMetric
from aag_ray.evaluate.long_text_metrics import accuracy, character_f1, edit_similarity, number_of, numbers
from aag_ray.evaluate.rouge import rouge_l
from aag_ray.evaluate.zero_shot_files import LongTextRow
from aag_ray.evaluate.zero_shot_tasks import READ, SHORT_ANSWER, Asked, Measure, Setting
from aag_ray.qa_files import QaFileError


class LongTask(NamedTuple):
    """How a data set asks: for how many tokens, scored by what, in a chat or as a text to go on with."""

    before: str = READ
    tokens: int = 64
    metric: LongTextMetric = "f1"
    chat: bool = True

    @property
    def lines(self) -> bool:
        """A summary has several lines, code may begin after a fence or a comment; the rest ends with its line."""
        return self.metric == "edit_similarity" or (self.metric == "rouge_l" and self.chat)


CHINESE = LongTask(f"{READ} Answer in its language.", metric="character_f1")
CODE = LongTask("Write the next line of the code.", metric="edit_similarity", chat=False)
PARAGRAPH = LongTask("Find the paragraph of which the summary is given. Reply with its name only.", 32, "numbers")
# Lengths and metrics are LongBench's (arXiv 2308.14508), the words are not.
LONG_TASKS = {
    "narrativeqa": LongTask(tokens=128),
    "qasper": LongTask(f'{READ} If the text does not tell, reply "unanswerable".', 128),
    "multifieldqa_en": LongTask(),
    "multifieldqa_zh": CHINESE,
    "hotpotqa": LongTask(tokens=32),
    "2wikimqa": LongTask(tokens=32),
    "musique": LongTask(tokens=32),
    "dureader": LongTask("Read the texts, then answer the question about them in its language.", 128, "rouge_l"),
    "gov_report": LongTask("Summarise the report in one page.", 512, "rouge_l"),
    "qmsum": LongTask("Read the record of the meeting, then answer the question about it in some sentences.", 512, "rouge_l"),
    "multi_news": LongTask("Summarise the news in one page.", 512, "rouge_l"),
    "vcsum": LongTask("Summarise the meeting in the language it was held in.", 512, "rouge_l"),
    "trec": LongTask("Name the type of the last question, as the examples do.", metric="accuracy", chat=False),
    "triviaqa": LongTask("Answer the last question from its passage, as the examples do.", 32, chat=False),
    "samsum": LongTask("Summarise the last dialogue, as the examples do.", 128, "rouge_l", chat=False),
    "lsht": LongTask("Name the class of the last text, as the examples do.", metric="accuracy", chat=False),
    "passage_count": LongTask("Count the paragraphs, each that is repeated once. Reply with the number only.", 32, "numbers"),
    "passage_retrieval_en": PARAGRAPH,
    "passage_retrieval_zh": PARAGRAPH,
    "lcc": CODE,
    "repobench-p": CODE,
}
MEASURES: dict[LongTextMetric, Mapping[str, Measure]] = {
    "f1": SHORT_ANSWER,
    "character_f1": {"character_f1": character_f1},
    "rouge_l": {"rouge_l": rouge_l},
    "edit_similarity": {"edit_similarity": edit_similarity},
    "numbers": {"numbers": numbers},
}
# How data sets that are not LongBench's are asked, by the metric that is named for them.
OTHER_TASKS: dict[LongTextMetric, LongTask] = {
    "f1": LongTask(),
    "character_f1": CHINESE,
    "rouge_l": LongTask("Read the text, then do what is asked about it.", 512, "rouge_l"),
    "accuracy": LONG_TASKS["lsht"],
    "edit_similarity": CODE,
    "numbers": LongTask("Read the text, then answer the question about it. Reply with a number only.", 32, "numbers"),
}


def long_texts(rows: Sequence[LongTextRow], section: LongTextSection) -> list[Setting]:
    """A setting for each data set with its first `section.rows` rows; those of LongBench-E ("_e") are asked as the others.

    Raises QaFileError naming a row whose data set is not known where `section.metric` is not set, or that its metric cannot
    score: no classes to choose from, an answer without a number.
    """
    chosen: dict[str, list[tuple[str, LongTextRow]]] = {}
    for number, row in enumerate(rows):
        own = chosen.setdefault(row.dataset, [])
        if section.rows is None or len(own) < section.rows:
            own.append((row.id or f"text-{number}", row))
    return [_setting(name, own, section) for name, own in chosen.items()]


def _setting(name: str, rows: Sequence[tuple[str, LongTextRow]], section: LongTextSection) -> Setting:
    task = LONG_TASKS.get(name.removesuffix("_e")) or (OTHER_TASKS[section.metric] if section.metric else None)
    if task is None:
        raise QaFileError(
            f"{section.file}, row {rows[0][0]}: data set {name!r} is none of {', '.join(sorted(LONG_TASKS))}; "
            f"long_text.metric says how others are scored: {', '.join(OTHER_TASKS)}"
        )
    asked = [_asked(identity, row, task, section) for identity, row in rows]
    classes = tuple(dict.fromkeys(each for _, row in rows for each in row.all_classes or ()))
    measures = MEASURES.get(task.metric) or {"accuracy": partial(accuracy, classes=classes)}
    return Setting(f"long_text/{name}", asked, task.tokens, measures, task.lines)


def _asked(identity: str, row: LongTextRow, task: LongTask, section: LongTextSection) -> Asked:
    where = f"{section.file}, row {identity}: {row.dataset} is scored by {task.metric}"
    if task.metric == "accuracy" and not row.all_classes:
        raise QaFileError(f"{where}, which needs the names of all classes in all_classes")
    if task.metric == "numbers":
        try:
            list(map(number_of, row.answers))
        except ValueError as error:
            raise QaFileError(f"{where}: {error}") from None
    after = f"Question: {row.input}" if task.chat and row.input else row.input
    return Asked(identity, tuple(row.answers), after, task.before, (row.context,), "Answer:" if task.chat else "", task.chat)
