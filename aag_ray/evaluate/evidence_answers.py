"""Whether a reader answers from what an extractor kept, and from how many tokens: the answer-based evaluation of ZI-ISAG."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aag_ray import prompts
from aag_ray.artifacts import RunError
from aag_ray.awaken.awakened import AwakeningModel
from aag_ray.config import EndpointSection, EvidenceAnswersSection, ModelSection
from aag_ray.evaluate.extraction import Prediction
from aag_ray.evaluate.intervals import bootstrap
from aag_ray.evaluate.judge import Comparison, judge
from aag_ray.evaluate.metrics import best_subspan_em, exact_match, f1
from aag_ray.extract.endpoint_teacher import Endpoint, EndpointTeacher
from aag_ray.extract.examples import ExtractionExample
from aag_ray.llm.engine import Generation, TransformersEngine
from aag_ray.llm.load import load_model
from aag_ray.records import Passage


class EvidenceReader:
    """The reader of a trained awakening model, or the base model in its chat template where there is none."""

    def __init__(self, section: EvidenceAnswersSection, base: ModelSection) -> None:
        self.section = section
        self.trained = AwakeningModel.from_pretrained(section.reader) if section.reader is not None else None
        loaded = self.trained.loaded if self.trained is not None else load_model(base)
        self.engine = TransformersEngine(loaded, section.batch)

    def answer(self, examples: Sequence[ExtractionExample], evidence: Sequence[str]) -> list[Generation]:
        """An answer to each example's question from its evidence alone; an empty one is a question without evidence."""
        asked = [self._prompt(example, text) for example, text in zip(examples, evidence, strict=True)]
        shared = self.trained.shared if self.trained is not None else []
        return self.engine.generate(asked, max_new_tokens=self.section.max_answer_tokens, shared=shared)

    def _prompt(self, example: ExtractionExample, evidence: str) -> str:
        if self.trained is None:
            return prompts.zero_shot_prompt(self.engine.loaded.tokenizer, example.question, evidence or None)
        passages = [Passage(example.id, example.page.title, evidence)] if evidence else []
        return prompts.reader_prompt(example.question, passages=passages)


def evidence_text(example: ExtractionExample, prediction: Prediction) -> str:
    """The chosen spans in page order, as a reader is shown them."""
    return " ".join(example.text_of(number) for number in prediction.chosen)


def score_answers(
    answers: Sequence[Generation], examples: Sequence[ExtractionExample], samples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """EM, F1 and subspan EM in percent with bootstrap intervals, and the mean number of prompt tokens."""
    pairs = [(answer.text, example.answers) for answer, example in zip(answers, examples, strict=True)]
    measures = {"em": exact_match, "f1": f1, "subspan": best_subspan_em}
    scores = {name: [measure(text, accepted) for text, accepted in pairs] for name, measure in measures.items()}
    means = {name: bootstrap(values, samples, seed).to_dict() for name, values in scores.items()}
    return means | {"prompt_tokens": sum(answer.prompt_tokens for answer in answers) / len(answers)}


def check_judge(endpoint: EndpointSection) -> None:
    """Raises RunError for an endpoint that can never be asked: its address, or the variable of its key."""
    try:
        EndpointTeacher(Endpoint.of(endpoint))
    except ValueError as error:
        raise RunError(f"answers.judge: {error}") from None


def judge_answers(
    endpoint: EndpointSection,
    examples: Sequence[ExtractionExample],
    answers: Sequence[Generation],
    baseline: Sequence[Generation],
) -> list[Comparison]:
    """What a judge behind an endpoint makes of the answers of a system beside those of the baseline, in both orders.

    Raises ValueError if the variable that should hold the endpoint's key is not set.
    """

    async def compared() -> list[Comparison]:
        async with EndpointTeacher(Endpoint.of(endpoint)) as teacher:
            rows = zip(examples, answers, baseline, strict=True)
            return await asyncio.gather(
                *(judge(teacher, example.id, example.question, one.text, two.text) for example, one, two in rows)
            )

    return asyncio.run(compared())
