"""Extractors side by side on the test pages of a run, and on grids of hidden facts: result.json, table.md, PNG heat maps.

What was measured of one extractor is written at once: where a later one fails, the next call goes on after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aag_ray.artifacts import Manifest, Run, RunError, content_fingerprint, read_table, write_atomically, write_json
from aag_ray.config import EvaluateExtractorConfig, ExtractSection, ModelSection
from aag_ray.evaluate.extraction import Prediction, calibration, predict, summarise
from aag_ray.evaluate.extractor_table import number, table
from aag_ray.evaluate.hidden_facts import hide_facts, measure_grids
from aag_ray.evaluate.injections import injection_rates
from aag_ray.evaluate.intervals import paired_difference
from aag_ray.evaluate.machine import describe_machine
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.scoring import ScoringExtractor
from aag_ray.extract.tokens import CountTokens, tokenizer_counter
from aag_ray.job import JobResult

if TYPE_CHECKING:
    from aag_ray.evaluate.evidence_answers import EvidenceReader
    from aag_ray.llm.engine import Generation

Say = Callable[[str], None]
AGAINST = ("bm25", "embedding", "untrained")
# What names no fact by itself, and what takes minutes a page.
NOT_IN_GRIDS = ("all", "trafilatura", "generating")


def evaluate_extractors(config: EvaluateExtractorConfig, say: Say = print) -> JobResult:
    """Measure `config.extractors` on the test pages of the run.

    Raises RunError before anything is measured if there are none, or no trained scorer, or if what hides facts, answers or
    judges cannot be used.
    """
    with Run.open((config.run.root / config.run.name).absolute(), fresh=False) as run:
        made = run.stage("data").manifest
        if made is None:
            raise RunError(
                f"{run.folder} holds no pages; `python jobs/train_extractor.py run.name={config.run.name}` makes them"
            )
        trained = [manifest.fingerprint for name in ("scorer", "tags") if (manifest := run.stage(name).manifest) is not None]
        stage = run.stage("evaluate")
        settings, checkpoint = config.model_dump(exclude={"run"}), config.extract.checkpoint
        read = [Path(checkpoint)] if checkpoint else []
        expected = content_fingerprint(made.fingerprint, trained, settings, *read)
        if config.run.fresh or not stage.is_complete(expected):
            folder = stage.start(expected)
            metrics = _measure(config, run, folder, say)
            stage.commit(Manifest("evaluate", expected, config.model_dump(mode="json"), metrics))
        manifest = stage.manifest
        return JobResult(manifest.metrics if manifest else {}, {"evaluate": str(stage.folder)})


def build(name: str, section: ExtractSection, run: Run, model: ModelSection, tokens: CountTokens) -> ScoringExtractor:
    """The extractor of a row of the table, whose budget is counted by `tokens`; `scorer` is the run's own."""
    from aag_ray.extract.baselines import MainTextExtractor
    from aag_ray.extract.build import build_extractor
    from aag_ray.extract.generating import GeneratingExtractor
    from aag_ray.llm.load import load_model

    change: dict[str, Any] = {"extractor": name, "checkpoint": None}
    if name == "untrained":
        change["extractor"] = "scorer"
    if name == "tags":
        own = run.folder / "tags" / "model"
        change |= {"model": model, "checkpoint": str(own) if run.stage("tags").manifest is not None else None}
    if name == "scorer":
        change["checkpoint"] = section.checkpoint or str(run.folder / "scorer" / "model")
    made: Any
    if name == "trafilatura":
        made = MainTextExtractor(section)
    elif name == "generating":
        made = GeneratingExtractor(section, load_model(model))
    else:
        made = build_extractor(section.model_copy(update=change))
    made.tokens = tokens
    return made


def _measure(config: EvaluateExtractorConfig, run: Run, folder: Path, say: Say) -> dict[str, Any]:
    examples = _examples(config, run)
    # First of all, so that a file that is too short or a judge without a key costs no measurements.
    hidden = hide_facts(config.grid, examples, config.seed)
    reader = _evidence_reader(config, examples) if config.answers.questions else None
    tokens = _one_counter(config.extract.model)
    systems: dict[str, Any] = {}
    at_budget: dict[str, list[Prediction]] = {}
    own: dict[str, list[Prediction]] = {}
    grids: dict[str, Any] = {}
    for name in config.extractors:
        built = partial(build, name, run=run, model=config.model, tokens=tokens)
        measured = _kept(folder / "systems" / f"{name}.json", partial(_system, config, name, built, examples))
        systems[name] = measured["row"]
        at_budget[name], own[name] = ([Prediction.from_row(row) for row in measured[key]] for key in ("at_budget", "own"))
        say(f"  {name}: answer kept {number(systems[name]['at_budget']['answer_kept'])} % at {config.extract.budget:.0%}")
    if reader is not None:
        for name, answered in _answers(config, reader, examples, own, folder, say).items():
            systems.setdefault(name, {})["answers"] = answered
    for name in (name for name in config.extractors if hidden and name not in NOT_IN_GRIDS):
        built = partial(build, name, config.extract, run, config.model, tokens)
        grid = _kept(folder / "grids" / f"{name}.json", lambda n=name, b=built: measure_grids(n, b(), hidden, folder, say))
        for haystack, kinds in grid.items():
            grids.setdefault(haystack, {})[name] = kinds
    result = {
        "systems": systems,
        "differences": {
            f"scorer-{other}": _difference(at_budget["scorer"], at_budget[other], config)
            for other in AGAINST
            if "scorer" in at_budget and other in at_budget
        },
        "grid": grids.pop("", {}),
        "haystacks": grids,
        "budget": config.extract.budget,
        "machine": describe_machine(),
    }
    write_json(folder / "result.json", result)
    shown = table(systems, result["grid"], grids)
    write_atomically(folder / "table.md", shown)
    say(shown)
    return result


def _examples(config: EvaluateExtractorConfig, run: Run) -> list[ExtractionExample]:
    pages = run.folder / "data" / f"{config.split}.parquet"
    try:
        examples = [ExtractionExample.from_row(row) for row in read_table(pages)[: config.max_pages]]
    except KeyError as missing:
        raise RunError(f"{pages} has no column {missing}: {run.folder} is no run of jobs/train_extractor.py") from None
    if "scorer" in config.extractors and config.extract.checkpoint is None and run.stage("scorer").manifest is None:
        raise RunError(f"{run.folder} holds no trained scorer; train one, or leave scorer out of extractors")
    return examples


def _one_counter(model: ModelSection) -> CountTokens:
    """The same for all extractors: an equal budget is then the same amount of text, whatever model chooses it."""
    from transformers import AutoTokenizer

    from aag_ray.llm.resolve import resolve_model

    return tokenizer_counter(AutoTokenizer.from_pretrained(resolve_model(model.name)))


def _kept(file: Path, make: Callable[[], Any]) -> Any:
    """What an interrupted evaluation left in a file, or what is made now and left there."""
    if not file.exists():
        write_json(file, make())
    return json.loads(file.read_text())


def _system(
    config: EvaluateExtractorConfig,
    name: str,
    built: Callable[[ExtractSection], ScoringExtractor],
    examples: Sequence[ExtractionExample],
) -> dict[str, Any]:
    """A row of the table, and the predictions that it sums up."""
    filled = config.extract.model_copy(update={"threshold": 0.0})
    at_budget = list(predict(built(filled), examples))
    extractor = built(config.extract)
    own = list(predict(extractor, examples))
    row: dict[str, Any] = {
        "name": extractor.name,
        "at_budget": summarise(at_budget, config.bootstrap_samples, config.seed),
        "own_threshold": summarise(own, config.bootstrap_samples, config.seed),
        "tokens_read": extractor.counts["input_tokens"] / len(examples),
        "tokens_written": extractor.counts["output_tokens"] / len(examples),
    }
    if config.injections and name not in ("all", "trafilatura"):
        relevant = [example for example in examples if example.relevant]
        row["injections"] = injection_rates(extractor, relevant, config.bootstrap_samples)
    if name == "scorer":
        row["calibration"] = _calibration(extractor, examples)
    return {"row": row, "at_budget": [asdict(each) for each in at_budget], "own": [asdict(each) for each in own]}


def _evidence_reader(config: EvaluateExtractorConfig, examples: Sequence[ExtractionExample]) -> EvidenceReader:
    from aag_ray.evaluate.evidence_answers import EvidenceReader, check_judge

    if not any(example.relevant and example.answers for example in examples):
        raise RunError(f"none of the {len(examples)} pages has a question with a known answer; set answers.questions=0")
    if config.answers.judge is not None:
        check_judge(config.answers.judge)
    return EvidenceReader(config.answers, config.model)


def _answers(
    config: EvaluateExtractorConfig,
    reader: EvidenceReader,
    examples: Sequence[ExtractionExample],
    own: dict[str, list[Prediction]],
    folder: Path,
    say: Say,
) -> dict[str, Any]:
    """By extractor, and `closed_book`; what was answered is in answers.jsonl, what a judge said in judgements.jsonl."""
    from aag_ray.evaluate.evidence_answers import evidence_text, judge_answers, score_answers
    from aag_ray.evaluate.judge import summarise_judgements
    from aag_ray.llm.engine import Generation

    section, samples, seed = config.answers, config.bootstrap_samples, config.seed
    asked = [at for at, example in enumerate(examples) if example.relevant and example.answers][: section.questions]
    chosen = [examples[at] for at in asked]
    texts = {name: [evidence_text(examples[at], rows[at]) for at in asked] for name, rows in own.items()}
    answers: dict[str, list[Generation]] = {}
    for name, shown in ({"closed_book": [""] * len(chosen)} | texts).items():
        given = _kept(folder / "answers" / f"{name}.json", lambda shown=shown: list(map(asdict, reader.answer(chosen, shown))))
        answers[name] = [Generation(**each) for each in given]
    scored = {name: score_answers(given, chosen, samples, seed) for name, given in answers.items()}
    if section.judge is not None:
        judgements: list[dict[str, Any]] = []
        for name in (name for name in answers if name != "all"):
            compared = judge_answers(section.judge, chosen, answers[name], answers["all"])
            scored[name]["judge"] = summarise_judgements(compared, samples, seed)
            judgements += [{"system": name, "baseline": "all"} | each.to_row() for each in compared]
            _write_lines(folder / "judgements.jsonl", judgements)
    _write_lines(
        folder / "answers.jsonl",
        (
            {
                "id": e.id,
                "question": e.question,
                "answers": e.answers,
                **{name: rows[at].text for name, rows in answers.items()},
            }
            for at, e in enumerate(chosen)
        ),
    )
    for name, row in scored.items():
        say(f"  {name}: {number(row['em'])} % of the answers exact, from {row['prompt_tokens']:.0f} tokens")
    return scored


def _write_lines(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_atomically(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _difference(ours: Sequence[Prediction], theirs: Sequence[Prediction], config: EvaluateExtractorConfig) -> dict[str, Any]:
    pairs = [(bool(a.answer_kept), bool(b.answer_kept)) for a, b in zip(ours, theirs, strict=True) if a.answer_kept is not None]
    one, two = ([float(pair[at]) for pair in pairs] for at in (0, 1))
    return paired_difference(one, two, config.bootstrap_samples, config.seed).to_dict()


def _calibration(extractor: Any, examples: Sequence[ExtractionExample]) -> dict[str, Any]:
    from aag_ray.extract.gold import holds_answer

    scores: list[float] = []
    right: list[bool] = []
    for example in examples:
        for page in extractor.score(example.question, [example.tagged]):
            scores += page.spans.tolist()
        gold = set(example.gold)
        numbers = range(1, len(example.spans) + 1)
        right += [n in gold or bool(gold and holds_answer(example.text_of(n), example.answers)) for n in numbers]
    measured = calibration(scores, right)
    return {"ece": measured.ece, "bins": [each._asdict() for each in measured.bins], "spans": len(scores)}
