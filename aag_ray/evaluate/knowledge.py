"""Do adapters carry what documents say? The same questions with the document nowhere, in the prompt, in the parameters, both.

Adapters of other documents, their mean and none at all tell what is the document's own. Adapters of several documents joined
into one tell how much they disturb each other, those of several in one text what a longer text costs, and nearest adapters of
lower rank how much room the facts take.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aag_ray import prompts
from aag_ray.awaken.awakened import AwakeningModel
from aag_ray.config import KnowledgeEvaluationSection
from aag_ray.evaluate.answering import MEAN_OVER, derangement
from aag_ray.evaluate.intervals import bootstrap, paired_difference
from aag_ray.evaluate.metrics import exact_match, f1
from aag_ray.llm.adapters import Adapter, compose
from aag_ray.llm.engine import Generation
from aag_ray.llm.low_rank import of_rank
from aag_ray.records import Question

DIFFERENCES = (
    ("parameters", "closed_book"),
    ("parameters", "parameters_shuffled"),
    ("both", "text"),
    ("both", "both_shuffled"),
)
TIMED_DOCUMENTS = 16
Make = Callable[[Sequence[int]], Adapter]


@dataclass(frozen=True)
class ToldQuestion:
    """A question and the number of the document that answers it."""

    question: Question
    document: int


def told_questions(questions: Sequence[Question], passages: int) -> tuple[list[str], list[ToldQuestion]]:
    """Different documents, and the questions that one of their first `passages` contexts is known to answer."""
    numbers: dict[str, int] = {}
    told = []
    for question in questions:
        if answering := question.answering(passages):
            number = numbers.setdefault(prompts.passage_text(answering[0]), len(numbers))
            told.append(ToldQuestion(question, number))
    return list(numbers), told


class KnowledgeTest:
    """Asks every question of `told` in every way. `unseen` are the relations that training left out."""

    def __init__(
        self,
        model: AwakeningModel,
        documents: Sequence[str],
        told: Sequence[ToldQuestion],
        section: KnowledgeEvaluationSection,
        unseen: Sequence[str],
        seed: int,
    ) -> None:
        """Raises ValueError without a question, or with too few documents to confuse or to read together."""
        if not told:
            raise ValueError("no test question has a passage that is known to answer it")
        needed = max((2, *section.together))
        if len(documents) < needed:
            raise ValueError(f"{len(documents)} documents answer the test questions; at least {needed} are needed (together)")
        self.model, self.documents, self.told, self.section = model, documents, told, section
        self.unseen, self.seed = frozenset(unseen), seed
        self.cycle = derangement(len(documents), seed)

    def run(self, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
        """Scores by system, paired differences, what adapters cost, and every answer."""
        self.adapters = self.model.adapters([None] * len(self.documents), self.documents)
        answers: dict[str, tuple[list[Generation], float]] = {}
        for name, (texts, make) in self._systems().items():
            began = time.perf_counter()
            answers[name] = (self._answer(texts, make), time.perf_counter() - began)
            say(f"{name}: {answers[name][1]:.1f} s")
        scores = {
            name: [exact_match(each.text, told.question.answers) for each, told in zip(given, self.told, strict=True)]
            for name, (given, _) in answers.items()
        }
        samples, seed = self.section.bootstrap_samples, self.seed
        systems = {name: self._scored(*given, scores[name]) for name, given in answers.items()}
        em = {name: row["em"]["value"] for name, row in systems.items()}
        gained = em["text"] - em["closed_book"]
        return {
            "systems": systems,
            "differences": {
                f"{one}-{other}": paired_difference(scores[one], scores[other], samples, seed).to_dict()
                for one, other in DIFFERENCES
            },
            "share_of_text": em["parameters"] / em["text"] if em["text"] else None,
            "share_of_gain": (em["parameters"] - em["closed_book"]) / gained if gained > 0 else None,
            "costs": self._costs(systems),
            "documents": len(self.documents),
            "answers": [
                {"id": told.question.id, "question": told.question.question, "document": self.documents[told.document]}
                | {name: given[row].text for name, (given, _) in answers.items()}
                for row, told in enumerate(self.told)
            ],
        }

    def _systems(self) -> dict[str, tuple[list[str], Make | None]]:
        """By name: the prompts, and what makes the adapters of some rows (None: no adapter)."""
        closed = [prompts.reader_prompt(told.question.question) for told in self.told]
        text = [self._prompt(row, [told.document]) for row, told in enumerate(self.told)]
        others = [self._others(told) for told in self.told]
        mean = self.adapters.mean(MEAN_OVER)

        def joined(count: int) -> Make:
            """Of each row the adapters of its document and of `count` - 1 others, as one."""
            order = [[told.document, *others[row][: count - 1]] for row, told in enumerate(self.told)]
            return lambda rows: compose([self.adapters.select([order[row][at] for row in rows]) for at in range(count)])

        def shuffled(rows: Sequence[int]) -> Adapter:
            return self.adapters.select([others[row][0] for row in rows])

        systems: dict[str, tuple[list[str], Make | None]] = {
            "closed_book": (closed, None),
            "text": (text, None),
            "parameters": (closed, joined(1)),
            "both": (text, joined(1)),
            "parameters_shuffled": (closed, shuffled),
            "parameters_mean": (closed, lambda _: mean),
            "both_shuffled": (text, shuffled),
        }
        for rank in self.section.ranks:
            systems[f"parameters_rank_{rank}"] = (closed, lambda rows, rank=rank: of_rank(joined(1)(rows), rank))
        for count in self.section.together:
            numbers = [sorted([told.document, *others[row][: count - 1]]) for row, told in enumerate(self.told)]
            several = [self._prompt(row, each) for row, each in enumerate(numbers)]
            systems |= {f"text_{count}": (several, None), f"parameters_{count}": (closed, joined(count))}
            systems[f"parameters_of_text_{count}"] = (closed, self._read_as_one(numbers))
        return systems

    def _read_as_one(self, numbers: Sequence[Sequence[int]]) -> Make:
        """Of each row the adapter of one text that several documents make."""
        texts = ["\n".join(self.documents[number] for number in each) for each in numbers]
        return lambda rows: self.model.adapters([None] * len(rows), [texts[row] for row in rows])

    def _prompt(self, row: int, documents: Sequence[int]) -> str:
        """The question under these documents, in the order of their numbers, which says nothing."""
        texts = [prompts.document_line(self.documents[number]) for number in documents]
        return "\n".join([*texts, prompts.reader_prompt(self.told[row].question.question)])

    def _others(self, told: ToldQuestion) -> list[int]:
        """Other documents in a random order, those first that do not speak of what the question is about."""
        order, number = [], self.cycle[told.document]
        while number != told.document:
            order.append(number)
            number = self.cycle[number]
        entity = told.question.entity
        return sorted(order, key=lambda each: bool(entity) and entity in self.documents[each])

    def _answer(self, texts: Sequence[str], make: Make | None) -> list[Generation]:
        """A batch at a time: the adapters of all questions at once would be large."""
        answers: list[Generation] = []
        for start in range(0, len(texts), self.section.batch):
            rows = range(start, min(start + self.section.batch, len(texts)))
            adapter = make(rows) if make is not None else None
            alone = adapter is not None and adapter.examples == 1
            answers += self.model.engine.generate(
                [texts[row] for row in rows],
                max_new_tokens=self.section.max_answer_tokens,
                adapter=None if alone else adapter,
                shared=[*self.model.shared, *([adapter] if alone and adapter is not None else [])],
            )
        return answers

    def _scored(self, given: Sequence[Generation], seconds: float, exact: Sequence[float]) -> dict[str, Any]:
        samples, seed = self.section.bootstrap_samples, self.seed
        words = [f1(each.text, told.question.answers) for each, told in zip(given, self.told, strict=True)]
        parts: dict[str, list[float]] = {"em_seen": [], "em_unseen": []}
        relations: dict[str, list[float]] = {}
        for value, told in zip(exact, self.told, strict=True):
            parts["em_unseen" if told.question.relation in self.unseen else "em_seen"].append(value)
            relations.setdefault(told.question.relation or "all", []).append(value)
        return {
            "em": bootstrap(exact, samples, seed).to_dict(),
            "f1": bootstrap(words, samples, seed).to_dict(),
            **{name: bootstrap(values, samples, seed).to_dict() for name, values in parts.items() if values},
            "by_relation": {name: 100 * statistics.fmean(values) for name, values in sorted(relations.items())},
            "prompt_tokens": statistics.fmean(each.prompt_tokens for each in given),
            "seconds_per_question": seconds / len(given),
        }

    def _costs(self, systems: dict[str, Any]) -> dict[str, Any]:
        """What reading a document once takes, and from how many questions on that is less than showing it each time."""
        seconds = []
        for document in self.documents[:TIMED_DOCUMENTS]:
            began = time.perf_counter()
            self.model.adapters([None], [document])
            seconds.append(time.perf_counter() - began)
        saved = systems["text"]["seconds_per_question"] - systems["parameters"]["seconds_per_question"]
        return {
            "bytes_per_document": sum(t[0].numel() * t.element_size() for pair in self.adapters.factors.values() for t in pair),
            "ms_per_document": 1000 * statistics.median(seconds),
            "tokens_saved_per_question": systems["text"]["prompt_tokens"] - systems["parameters"]["prompt_tokens"],
            "pays_from_questions": statistics.median(seconds) / saved if saved > 0 else None,
        }


def render_knowledge(result: dict[str, Any]) -> str:
    """Markdown: a row for each system, and the differences below."""
    lines = [
        "| Document | EM, % (95 % interval) | F1 | Seen relations | Unseen | Prompt tokens | s/question |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in result["systems"].items():
        em = row["em"]
        parts = [f"{row[part]['value']:.1f}" if part in row else "-" for part in ("em_seen", "em_unseen")]
        lines.append(
            f"| {name.replace('_', ' ')} | {em['value']:.1f} ({em['low']:.1f} to {em['high']:.1f}) | {row['f1']['value']:.1f} "
            f"| {' | '.join(parts)} | {row['prompt_tokens']:.0f} | {row['seconds_per_question']:.3f} |"
        )
    lines += ["", "| Paired difference | EM points (95 % interval) |", "| --- | ---: |"]
    for name, row in result["differences"].items():
        lines.append(f"| {name.replace('_', ' ')} | {row['value']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f}) |")
    costs = result["costs"]
    pays = f"; it pays from {costs['pays_from_questions']:.1f} questions on" if costs["pays_from_questions"] else ""
    lines += [
        "",
        f"A document takes {costs['ms_per_document']:.0f} ms to read and {costs['bytes_per_document'] / 1e6:.2f} MB to keep, "
        f"and saves {costs['tokens_saved_per_question']:.0f} prompt tokens a question{pays}.",
    ]
    return "\n".join(lines) + "\n"
