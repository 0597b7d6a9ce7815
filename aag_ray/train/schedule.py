"""How long the rest of a run will take: the work of each stage in tokens, against the speed of the stages done so far."""

from __future__ import annotations

from aag_ray.config import TrainAagConfig, TrainingSection

PASSAGE, QUESTION = 45, 15  # tokens, typical of the embedded world
# What a trained, a decoded and a compressed token cost, in tokens read; measured on a CPU.
TRAINED, WRITTEN, SCORED = 2.5, 3.0, 4.5


def planned_work(config: TrainAagConfig, train: int, dev: int, test: int) -> dict[str, float]:
    """Tokens read, or as long as reading them takes, by stage, for splits of these sizes."""
    document = config.generator.max_document_tokens
    compressed = min(config.compress.train_questions or train, train) + dev + test
    predicted = min(config.predict.train_questions or train, train) + dev + test

    def trained(section: TrainingSection, tokens: float) -> float:
        scores = section.dev_examples * (1 + section.steps // section.dev_every)
        return tokens * (section.steps * section.batch * TRAINED + scores)

    reader, teacher = config.reader, config.teacher
    read = reader.reading.steps * reader.reading.batch * (2.5 * QUESTION * TRAINED + PASSAGE)
    mixed = QUESTION + 0.5 * document + 0.15 * reader.passages * PASSAGE
    taught = reader.training.steps * reader.training.batch * reader.distill.share * teacher.passages * PASSAGE
    static = config.static_steps * reader.training.batch * QUESTION * TRAINED
    closed_book = trained(reader.closed_book, QUESTION)
    systems = 10 * QUESTION + 8 * document + sum(config.evaluate.passages) * PASSAGE
    systems *= 1 + config.evaluate.token_scores
    return {
        "data": 2000.0,
        "compress": compressed * SCORED * config.compress.passages * PASSAGE,
        "generator": trained(config.generator.training, QUESTION + document),
        "predict": predicted * document * WRITTEN,
        "hypernetwork": trained(teacher.training, QUESTION + teacher.passages / 2 * PASSAGE)
        + closed_book
        + read
        + trained(reader.training, mixed)
        + taught
        + static,
        "evaluate": test * (systems + 13 * 4 * WRITTEN),
    }


def minutes_left(work: dict[str, float], seconds: dict[str, float], rest: list[str]) -> float | None:
    """Minutes for the stages in `rest`, from the stages of which the seconds are known; None before there is one."""
    done = sum(work[name] for name in seconds if name != "data")
    if not done:
        return None
    return sum(work[name] for name in rest) * sum(t for name, t in seconds.items() if name != "data") / done / 60
