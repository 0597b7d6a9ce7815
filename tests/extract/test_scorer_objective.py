"""What the span scorer is trained on, and that it learns it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from aag_ray.config import ModelSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.scorer import SpanScorer
from aag_ray.extract.scorer_objective import UNKNOWN, ScorerObjective
from aag_ray.pages.page import BlockKind, Metadata, Piece, assemble
from aag_ray.pages.spans import split_spans


@pytest.fixture
def objective(tiny_encoder_folder: Path) -> ScorerObjective:
    section = ModelSection(name=str(tiny_encoder_folder), dtype="float32")
    return ScorerObjective(SpanScorer.new(section, window=128, width=16, device="cpu"))


def row(scorer: SpanScorer, question: str, sentences: list[str], labels: list[float]) -> dict[str, Any]:
    page = assemble([Piece(BlockKind.PARAGRAPH, text) for text in sentences], "", Metadata(language="en"), 10**6).page
    assert page is not None
    (window,) = scorer.windows(question, [TaggedPage(page, split_spans(page))])
    return {"id": question} | window.to_row() | {"labels": labels}


SENTENCES = ["The capital is Paris.", "The currency is the yen.", "It has many people."]


def test_the_loss_is_the_sum_of_its_terms_and_has_a_gradient_everywhere(objective: ScorerObjective):
    rows = [row(objective.scorer, "capital?", SENTENCES, [1, 0, 0]), row(objective.scorer, "snow?", SENTENCES, [0, 0, 0])]
    terms = objective(rows)
    assert float(terms["loss"].detach()) == pytest.approx(sum(float(terms[name]) for name in ("span", "page", "rank")))
    terms["loss"].backward()
    assert all(parameter.grad is not None for parameter in objective.scorer.head.parameters())
    assert all(parameter.grad is not None for parameter in objective.scorer.page.parameters())


def test_the_score_of_each_row_is_minus_its_loss(objective: ScorerObjective):
    rows = [row(objective.scorer, "capital?", SENTENCES, [1, 0, 0]), row(objective.scorer, "snow?", SENTENCES, [0, 0, 0])]
    assert sum(objective.score(rows)) / 2 == pytest.approx(-float(objective(rows)["loss"].detach()), abs=1e-5)


def test_an_unknown_span_is_left_out_of_the_loss(objective: ScorerObjective):
    with_unknown = row(objective.scorer, "capital?", SENTENCES, [1, 0, UNKNOWN])
    before = float(objective([with_unknown])["loss"].detach())
    with torch.no_grad():
        objective.scorer.head[-1].bias += 0  # type: ignore[operator]
    as_wrong = float(objective([with_unknown | {"labels": [1, 0, 0]}])["loss"].detach())
    as_right = float(objective([with_unknown | {"labels": [1, 0, 1]}])["loss"].detach())
    assert before not in (as_wrong, as_right)


@pytest.mark.parametrize("labels", [[0.2, 0.0, 0.0], [0.8, 0.4, 0.0], [1.0, 0.3, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
def test_labels_of_a_teacher_count_by_what_they_say(objective: ScorerObjective, labels: list[float]):
    """Each span is asked for its label, and the window for its best; gold, 1 or 0, is no other case."""
    rows = [row(objective.scorer, "capital?", SENTENCES, labels)]
    logits, page = (each.detach() for each in objective.scorer(rows))
    told, best = torch.tensor(labels), max(labels)
    losses = -told * logits.sigmoid().log() - (1 - told) * (-logits).sigmoid().log()
    named = objective(rows)
    assert float(named["span"]) == pytest.approx(float(((1 + 3 * told) * losses).mean()), abs=1e-5)
    asked = -best * page.sigmoid().log() - (1 - best) * (-page).sigmoid().log()
    assert float(named["page"]) == pytest.approx(float(asked), abs=1e-5)


def test_the_softmax_owes_each_span_what_its_label_has_of_the_best(objective: ScorerObjective):
    rows = [row(objective.scorer, "capital?", SENTENCES, [0.8, 0.4, 0.0])]
    shares = torch.softmax(objective.scorer(rows)[0], 0)
    expected = -0.8 * torch.log(shares[0] + shares[1] / 2)
    assert float(objective(rows)["rank"]) == pytest.approx(float(expected.detach()), abs=1e-5)


def test_a_teacher_teaches_its_scores(objective: ScorerObjective):
    rows = [row(objective.scorer, "capital?", SENTENCES, [0.7, 0.3, 0.05])]
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        objective(rows)["loss"].backward()
        optimizer.step()
    logits, page = objective.scorer(rows)
    learned = torch.sigmoid(logits).tolist()
    assert learned[0] > learned[1] > learned[2]
    assert 0.5 < learned[0] < 0.97
    assert float(torch.sigmoid(page).detach()) == pytest.approx(0.7, abs=0.1)


def test_a_window_of_which_nothing_is_known_says_nothing(objective: ScorerObjective):
    terms = objective([row(objective.scorer, "capital?", SENTENCES, [UNKNOWN] * 3)])
    assert float(terms["loss"].detach()) == 0
    terms["loss"].backward()


def test_it_learns_which_span_answers_which_question(objective: ScorerObjective):
    rows = [
        row(objective.scorer, "Which capital?", SENTENCES, [1, 0, 0]),
        row(objective.scorer, "Which currency?", SENTENCES, [0, 1, 0]),
        row(objective.scorer, "How many people?", SENTENCES, [0, 0, 1]),
        row(objective.scorer, "Is there snow?", SENTENCES, [0, 0, 0]),
    ]
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        objective(rows)["loss"].backward()
        optimizer.step()
    scores = [torch.sigmoid(part) for part in objective.scorer(rows)[0].split(3)]
    assert [int(part.argmax()) for part in scores[:3]] == [0, 1, 2]
    assert all(float(part.detach().max()) > 0.6 for part in scores[:3])
    assert float(scores[3].detach().max()) < 0.4


def test_the_length_is_that_of_the_window(objective: ScorerObjective):
    made = row(objective.scorer, "capital?", SENTENCES, [1, 0, 0])
    assert objective.length(made) == len(made["ids"])


def test_frozen_layers_and_what_lies_below_them_get_no_gradient(tiny_encoder_folder: Path):
    scorer = SpanScorer.new(ModelSection(name=str(tiny_encoder_folder), dtype="float32"), window=128, width=16, device="cpu")
    encoder: Any = scorer.encoder
    layers = len(encoder.encoder.layer)
    objective = ScorerObjective(scorer, frozen_layers=layers - 1)
    objective([row(scorer, "capital?", SENTENCES, [1, 0, 0])])["loss"].backward()
    trained = {name for name, parameter in scorer.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[0] for name in trained} == {"encoder", "head", "page", "signals", "shift"}
    assert all(f"layer.{layers - 1}." in name for name in trained if name.startswith("encoder."))
    assert all(not p.requires_grad for p in encoder.embeddings.parameters())


def test_more_frozen_layers_than_there_are_are_refused(tiny_encoder_folder: Path):
    scorer = SpanScorer.new(ModelSection(name=str(tiny_encoder_folder), dtype="float32"), window=128, width=16, device="cpu")
    with pytest.raises(ValueError, match=r"frozen_layers=99 is more than the \d+ layers"):
        ScorerObjective(scorer, frozen_layers=99)
