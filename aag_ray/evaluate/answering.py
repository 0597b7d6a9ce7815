"""Every system of the result table answers the same questions, and the answers become the result structure."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aag_ray import prompts
from aag_ray.awaken.awakened import AwakeningModel
from aag_ray.config import EvaluateSection
from aag_ray.evaluate.gate import adapter_variance, delta_features, eta_squared, gate_verdict
from aag_ray.evaluate.intervals import bootstrap, paired_difference
from aag_ray.evaluate.metrics import best_subspan_em, exact_match, f1
from aag_ray.evaluate.token_scores import token_scores
from aag_ray.llm.adapters import Adapter, StaticLora
from aag_ray.llm.engine import Generation
from aag_ray.llm.gold_answers import GoldAnswer, read_gold
from aag_ray.records import Document, Question

DIFFERENCES = ("aag-static_lora", "aag-aag_shuffled", "aag-few_shot", "aag-generator_only", "aag-hypernetwork_only")
GATE_QUESTIONS = 128


@dataclass(frozen=True)
class Answers:
    """One system's answers in question order, the seconds all of them took and the parameters trained for them.

    `gold` is how it foresees the gold answers, where that was asked for.
    """

    generations: list[Generation]
    seconds: float
    trained_parameters: int = 0
    gold: Sequence[GoldAnswer] = ()


class Answering:
    """Runs the systems over one set of questions. Adapters and documents are made once and shared by the systems.

    Systems that read passages are left out where no question has any; `oracle` is read with them.
    """

    def __init__(
        self,
        model: AwakeningModel,
        static: StaticLora,
        questions: Sequence[Question],
        documents: Mapping[str, Document],
        oracle: Mapping[str, Document],
        shots: Sequence[Question],
        section: EvaluateSection,
        seed: int,
    ) -> None:
        self.model, self.static, self.section, self.seed = model, static, section, seed
        self.questions, self.asked = questions, [question.question for question in questions]
        self.documents = [documents[question.id].text for question in questions]
        self.without_passages = sum(not question.contexts for question in questions)
        self.left_out: list[str] = []
        if self.without_passages == len(questions):
            self.left_out = [*(f"retrieved_{passages}" for passages in section.passages), "oracle"]
        self.oracle = [] if self.left_out else [oracle[question.id].text for question in questions]
        self.shots = [(question.question, question.training_answer) for question in shots]
        reader, generator = _size(model.reader), _size(model.generator.lora)
        self.sizes = {
            "reader": reader,
            "generator": generator + reader,
            "hypernetwork": model.hypernetwork.parameter_count + reader,
            "aag": model.hypernetwork.parameter_count + reader + generator,
        }

    def run(self, log: Callable[[str], None] = lambda _: None) -> dict[str, Answers]:
        """All systems of the table, by key."""
        results: dict[str, Answers] = {}
        adapters, seconds = _timed(lambda: self.model.adapters(self.asked, self.documents))
        for name, answer in self._systems(adapters).items():
            results[name] = answer()
            log(f"{name}: {results[name].seconds:.1f} s")
        for name in ("aag", "aag_shuffled", "aag_mean"):
            if name in results and self.model.settings.document_in != "text":
                spent = results[name].seconds + seconds
                results[name] = replace(results[name], seconds=spent, trained_parameters=self.sizes["aag"])
        self.adapters, self.adapter_seconds = adapters, seconds
        return results

    def _systems(self, adapters: Adapter) -> dict[str, Callable[[], Answers]]:
        model, sizes, count = self.model, self.sizes, len(self.asked)
        tokenizer: Any = model.loaded.tokenizer
        place = model.settings.document_in
        if place == "text":
            adapters = adapters.zeroed()  # nothing is given in the parameters
        shown: Sequence[str | None] = self.documents if place != "parameters" else [None] * count
        read = [prompts.reader_prompt(q, document=d) for q, d in zip(self.asked, shown, strict=True)]
        closed = [prompts.reader_prompt(question) for question in self.asked]

        def reader(texts: Sequence[str], size: str, adapter: Adapter | None = None, *more: Adapter) -> Callable[[], Answers]:
            return lambda: self._answer(texts, [*model.shared, *more], adapter, sizes[size])

        systems = {
            "zero_shot": lambda: self._answer([prompts.zero_shot_prompt(tokenizer, question) for question in self.asked]),
            "few_shot": lambda: self._answer([prompts.few_shot_prompt(question, self.shots) for question in self.asked]),
            "static_lora": lambda: self._answer(closed, [self.static()], None, _size(self.static)),
            "generator_only": reader(self._with(self.documents), "generator"),
            "hypernetwork_only": self._hypernetwork_only,
            "aag": reader(read, "aag", adapters),
            # picked only when it is its turn: all adapters of a test set are large
            "aag_shuffled": lambda: reader(read, "aag", adapters.select(derangement(count, self.seed)))(),
            "aag_mean": reader(read, "aag", None, adapters.mean(MEAN_OVER)),
            "aag_zero": reader(read, "aag"),
        }
        if self.left_out:
            return systems
        for passages in self.section.passages:
            systems[f"retrieved_{passages}"] = reader(
                [prompts.reader_prompt(q.question, passages=q.contexts[:passages]) for q in self.questions], "reader"
            )
        systems["oracle"] = reader(self._with(self.oracle), "reader")
        return systems

    def _hypernetwork_only(self) -> Answers:
        made, seconds = _timed(lambda: self.model.adapters(self.asked, [None] * len(self.asked)))
        closed = [prompts.reader_prompt(question) for question in self.asked]
        answers = self._answer(closed, self.model.shared, made, self.sizes["hypernetwork"])
        return replace(answers, seconds=answers.seconds + seconds)

    def _with(self, documents: Sequence[str]) -> list[str]:
        return [prompts.reader_prompt(q, document=d) for q, d in zip(self.asked, documents, strict=True)]

    def _answer(
        self, texts: Sequence[str], shared: Sequence[Adapter] = (), adapter: Adapter | None = None, size: int = 0
    ) -> Answers:
        limit = self.section.max_answer_tokens
        generate = self.model.engine.generate
        generations, seconds = _timed(lambda: generate(texts, max_new_tokens=limit, adapter=adapter, shared=shared))
        gold: Sequence[GoldAnswer] = ()
        if self.section.token_scores:
            told, batch = [question.training_answer for question in self.questions], self.section.batch
            gold = read_gold(self.model.loaded, texts, told, adapter=adapter, shared=shared, batch=batch)
        return Answers(generations, seconds, size, gold)


MEAN_OVER = 32  # a mean over more adapters has the same direction and a rank that no longer fits into a forward pass


def derangement(count: int, seed: int) -> list[int]:
    """A random order in which nobody keeps a place (Sattolo's cycle); a single question keeps its own."""
    order, draw = list(range(count)), random.Random(f"{seed}-derangement")
    for last in range(count - 1, 0, -1):
        other = draw.randrange(last)
        order[last], order[other] = order[other], order[last]
    return order


def summarise(answering: Answering, answers: Mapping[str, Answers], document_seconds: float = 0.0) -> dict[str, Any]:
    """The result structure of `aag_ray.evaluate.report`. `document_seconds` is the generator's time per question."""
    questions, section, seed = answering.questions, answering.section, answering.seed
    scores: dict[str, list[float]] = {}
    systems: dict[str, Any] = {}
    for name, answer in answers.items():
        pairs = list(zip(answer.generations, questions, strict=True))
        scores[name] = [exact_match(written.text, question.answers) for written, question in pairs]
        intervals = {
            "em": scores[name],
            "f1": [f1(written.text, question.answers) for written, question in pairs],
            "subspan": [best_subspan_em(written.text, question.answers) for written, question in pairs],
        }
        writes = name == "generator_only" or name.startswith("aag")
        systems[name] = {key: bootstrap(v, section.bootstrap_samples, seed).to_dict() for key, v in intervals.items()} | {
            "trained_parameters": answer.trained_parameters,
            "prompt_tokens": sum(written.prompt_tokens for written, _ in pairs) / len(pairs),
            "seconds_per_question": answer.seconds / len(pairs) + (document_seconds if writes else 0.0),
        }
        if answer.gold:
            systems[name] |= token_scores(answer.gold, section.bootstrap_samples, seed)
    differences = {}
    for name in DIFFERENCES:
        first, second = name.split("-")
        if first in scores and second in scores:
            differences[name] = paired_difference(scores[first], scores[second], section.bootstrap_samples, seed)
    em = {name: bootstrap(values, section.bootstrap_samples, seed) for name, values in scores.items()}
    kinds = sorted({question.kind for question in questions if question.kind})
    return {
        "systems": systems,
        "differences": {name: interval.to_dict() for name, interval in differences.items()},
        "by_kind": {kind: {name: _mean_of(values, questions, kind) for name, values in scores.items()} for kind in kinds},
        "gate": gate_verdict(em, differences) | _adapter_information(answering),
        "shots": len(answering.shots),
        "without_passages": answering.without_passages,
        "left_out": answering.left_out,
        "cases": _cases(answering, answers),
    }


def _adapter_information(answering: Answering) -> dict[str, Any]:
    sample = range(0, len(answering.questions), max(1, len(answering.questions) // GATE_QUESTIONS))
    chosen = [answering.questions[row] for row in sample]
    if len(chosen) < 2:
        return {}
    features = delta_features(answering.adapters.select(list(sample)))
    labels = {"kind": [q.kind for q in chosen], "relation": [q.relation for q in chosen]}
    explained = {name: eta_squared(features, values) for name, values in labels.items() if all(values)}
    return {"adapter_variance": adapter_variance(features), "eta_squared": explained}


def _cases(answering: Answering, answers: Mapping[str, Answers]) -> list[dict[str, Any]]:
    count = len(answering.questions)
    draw = random.Random(f"{answering.seed}-cases")
    rows = sorted(draw.sample(range(count), min(count, answering.section.case_questions)))
    return [
        {
            "question": answering.asked[row],
            "answers": list(answering.questions[row].answers),
            "entity": answering.questions[row].entity,
            "document": answering.documents[row],
            "predictions": {name: answer.generations[row].text for name, answer in answers.items()},
        }
        for row in rows
    ]


def _mean_of(values: Sequence[float], questions: Sequence[Question], kind: str) -> float:
    chosen = [value for value, question in zip(values, questions, strict=True) if question.kind == kind]
    return 100 * sum(chosen) / len(chosen)


def _size(lora: StaticLora | None) -> int:
    return sum(parameter.numel() for parameter in lora.parameters()) if lora is not None else 0


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began
