"""The embedded world is deterministic, split by entity, true to its tables and answerable from its passages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aag_ray.config import WorldSection
from aag_ray.records import SPLITS, Question
from aag_ray.world import World, build_world, has_answer
from aag_ray.world.facts import load_elements, load_places
from aag_ray.world.relations import RELATIONS
from aag_ray.world.splits import Mentions, split_entities
from aag_ray.world.world import MIX, write_dpr

SEED = 29
SMALL = WorldSection(train_questions=120, dev_questions=20, test_questions=40)


def rows_of(world: World) -> list[Question]:
    return [question for split in SPLITS for question in world.questions[split]]


def test_another_seed_splits_the_entities_in_another_way() -> None:
    elements = load_elements()
    assert split_entities(elements, SEED) != split_entities(elements, SEED + 1)


def test_each_split_has_the_number_of_questions_asked_for(world: World) -> None:
    config = WorldSection()
    sizes = {"train": config.train_questions, "dev": config.dev_questions, "test": config.test_questions}
    assert {split: len(rows) for split, rows in world.questions.items()} == sizes


def test_kinds_come_in_the_shares_of_the_mix(world: World) -> None:
    for rows in world.questions.values():
        shares = {kind: sum(row.kind == kind for row in rows) / len(rows) for kind in MIX}
        assert shares == pytest.approx(MIX, abs=0.02)


def test_no_entity_is_a_subject_in_two_splits(world: World) -> None:
    subjects = {split: {row.entity for row in rows} for split, rows in world.questions.items()}
    assert not subjects["train"] & subjects["dev"]
    assert not subjects["train"] & subjects["test"]
    assert not subjects["dev"] & subjects["test"]


def test_ids_are_unique_and_no_split_asks_the_same_text_twice(world: World) -> None:
    ids = [row.id for row in rows_of(world)]
    assert len(set(ids)) == len(ids)
    for rows in world.questions.values():
        assert len({row.question for row in rows}) == len(rows)


def test_training_texts_never_name_a_held_out_country_or_element(world: World) -> None:
    (countries, _), elements = load_places(100_000), load_elements()
    for entities in (countries, elements):
        splits = split_entities(entities, SEED)
        held_out = Mentions(name for entity in entities if splits[entity.name] != "train" for name in entity.names)
        for row in world.questions["train"]:
            texts = [row.question, *row.answers]
            texts += [text for passage in row.contexts for text in (passage.title, passage.text)]
            named = [text for text in texts if held_out(text)]
            assert not named, f"{row.id} names a held-out entity: {named}"


def test_cities_of_held_out_countries_are_held_out_with_them(world: World) -> None:
    countries, cities = load_places(100_000)
    splits = split_entities(countries, SEED)
    home = {city.name: city.home for city in cities}
    for split in SPLITS:
        homes = {splits[home[row.entity]] for row in world.questions[split] if row.id.startswith("world-city-")}
        assert homes <= {"train", split}


def test_every_question_is_one_of_its_relations_wordings_about_its_entity(world: World) -> None:
    known = {relation.name: relation for relation in RELATIONS}
    for row in rows_of(world):
        assert row.kind == known[row.relation].kind
        wording = known[row.relation].wordings[int(row.id.rsplit("-", 1)[1])]
        before, after = wording.split("{}")
        assert row.question.lower().startswith(before.lower())
        assert row.question.endswith(after)


def test_questions_are_short_and_passages_fit_their_budget(world: World) -> None:
    assert max(len(row.question.split()) for row in rows_of(world)) <= 18
    lengths = [len(passage.text.split()) for passage in world.passages]
    assert min(lengths) >= 22
    assert max(lengths) <= 35


def test_every_answer_stands_in_a_passage_about_its_entity(world: World) -> None:
    told: dict[str, list[str]] = {}
    for passage in world.passages:
        told.setdefault(passage.title, []).append(f"{passage.title}. {passage.text}")
    for row in rows_of(world):
        assert any(has_answer(text, row.answers) for text in told[row.entity]), f"{row.id}: {row.answers[0]!r} is told nowhere"


def test_each_question_has_ten_contexts_best_first(world: World) -> None:
    for row in rows_of(world):
        scores = [passage.score for passage in row.contexts]
        assert len(scores) == 10
        assert scores == sorted(scores, reverse=True)


def test_statistics_count_everything_and_retrieval_mostly_finds_the_answer(world: World) -> None:
    statistics = world.statistics()
    assert statistics["passages"] == len(world.passages)
    for split, rows in world.questions.items():
        told = statistics["splits"][split]
        assert told["questions"] == sum(told["kinds"].values()) == sum(told["relations"].values()) == len(rows)
        assert told["entities"] == len({row.entity for row in rows})
        assert told["gold@1"] <= told["gold@5"] <= told["gold@10"]
        assert told["gold@10"] > 0.9
        assert told["answer@10"] >= told["gold@10"]
    assert set(statistics["splits"]["train"]["relations"]) == {relation.name for relation in RELATIONS}


def test_a_world_larger_than_its_facts_is_refused_with_the_number_there_is() -> None:
    with pytest.raises(ValueError, match=r"world.dev_questions=40000: the facts make only \d+ different questions"):
        build_world(SMALL.model_copy(update={"dev_questions": 40000}), SEED)


def test_a_population_that_no_city_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"world\.min_city_population=900000000"):
        build_world(SMALL.model_copy(update={"min_city_population": 900_000_000}), SEED)


def test_dpr_files_hold_what_fid_reads(world: World, tmp_path: Path) -> None:
    rows = world.questions["dev"]
    write_dpr(rows, tmp_path / "below" / "dev.jsonl")
    written = [json.loads(line) for line in (tmp_path / "below" / "dev.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in written] == [row.id for row in rows]
    assert set(written[0]) == {"id", "question", "answers", "ctxs"}
    assert set(written[0]["ctxs"][0]) == {"id", "title", "text", "score", "has_answer"}


def test_the_command_writes_the_same_bytes_in_another_process(world: World, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aag_ray.world", "build", "--out", str(tmp_path / "there"), "--seed", str(SEED)]
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == world.statistics()
    for split, rows in world.questions.items():
        write_dpr(rows, tmp_path / "here.jsonl")
        assert (tmp_path / "there" / f"{split}.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    passages = [json.loads(line) for line in (tmp_path / "there" / "passages.jsonl").read_text(encoding="utf-8").splitlines()]
    assert passages == [{"id": row.id, "title": row.title, "text": row.text} for row in world.passages]


def test_the_command_names_a_wrong_setting() -> None:
    command = [sys.executable, "-m", "aag_ray.world", "build", "questions=5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "questions=5: unknown key" in done.stderr
