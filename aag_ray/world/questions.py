"""Where a job's questions come from, the embedded world or files, and documents that files bring along."""

from __future__ import annotations

from typing import Any

from aag_ray.config import DataSection, FilesSection
from aag_ray.qa_documents import read_documents
from aag_ray.qa_files import QaFileError, read_passages, read_questions
from aag_ray.records import SPLITS, Document, Question


def name_of_test_set(section: DataSection) -> str:
    """What the questions of the test split are, in a few words."""
    return "countries, elements and cities, none of them trained on" if section.files is None else section.files.test.name


def load_documents(files: FilesSection, column: str) -> dict[str, Document]:
    """The documents in a column of all three files, by question id.

    Raises QaFileError for a file without such a column, and for an id that two files share.
    """
    documents: dict[str, Document] = {}
    for split in SPLITS:
        found = read_documents(getattr(files, split), column)
        if shared := documents.keys() & found.keys():
            raise QaFileError(f"{getattr(files, split)}: id {min(shared)!r} is that of a question of another split, too")
        documents |= found
    return documents


def load_splits(section: DataSection, seed: int) -> tuple[dict[str, list[Question]], dict[str, Any]]:
    """Questions of train, dev and test with at most `section.contexts` passages, and statistics for the manifest.

    Raises QaFileError for a bad file, questions that have no passages and no pool to find some in, and an empty split.
    """
    from aag_ray.world import attach_contexts, build_world

    metrics: dict[str, Any] = {}
    if section.files is None:
        world = build_world(section.world, seed, section.contexts)
        splits, metrics = world.questions, world.statistics()
    else:
        splits, metrics["splits"] = {}, {}
        pool = read_passages(section.files.passages) if section.files.passages else []
        for split in SPLITS:
            file = read_questions(getattr(section.files, split), skip_bad=section.files.skip_bad)
            bare = [question for question in file.questions if not question.contexts]
            if bare and not pool:
                raise QaFileError(
                    f"{getattr(section.files, split)}: {len(bare)} questions have no passages (the first is {bare[0].id!r}); "
                    "set data.files.passages to a file of passages to retrieve them from"
                )
            found = {question.id: question for question in attach_contexts(bare, pool, section.contexts)}
            splits[split] = [found.get(question.id, question) for question in file.questions]
            metrics["splits"][split] = {"questions": len(file.questions), "refused": len(file.refused)}
    kept: dict[str, list[Question]] = {}
    for split in SPLITS:
        kept[split] = splits[split][: getattr(section, f"max_{split}")]
        if not kept[split]:
            raise QaFileError(f"the {split} split has no question left; each split needs at least one")
        metrics["splits"][split] |= {"questions": len(kept[split])}
    return kept, metrics
