"""The one-pass span scorer: windows that lose nothing, scores that do not depend on the batch, weights that come back."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from aag_ray.config import ModelSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.features import FEATURES
from aag_ray.extract.scorer import Calibration, SpanScorer, Window
from aag_ray.pages.page import BlockKind, Metadata, Piece, assemble
from aag_ray.pages.spans import Span, split_spans

QUESTION = "What is the capital of France?"


def page_of(*texts: str, kind: BlockKind = BlockKind.PARAGRAPH) -> TaggedPage:
    page = assemble([Piece(kind, text) for text in texts], "https://a.example/", Metadata(language="en"), 10**6).page
    assert page is not None
    return TaggedPage(page, split_spans(page))


LONG = page_of(*(f"Fact {n} is here. The capital of country {n} is city {n}. It has many people." for n in range(12)))


@pytest.fixture(params=["encoder", "decoder"])
def scorer(request: pytest.FixtureRequest, tiny_encoder_folder: Path, tiny_model_folder: Path) -> SpanScorer:
    folder = tiny_encoder_folder if request.param == "encoder" else tiny_model_folder
    return SpanScorer.new(ModelSection(name=str(folder), dtype="float32"), window=128, width=16, device="cpu").eval()


def covered(windows: list[Window], page: int = 0) -> list[int]:
    return sorted(window.first + at for window in windows if window.page == page for at in range(len(window.ranges)))


def test_every_span_is_in_exactly_one_window_and_no_window_is_too_long(scorer: SpanScorer):
    windows = scorer.windows(QUESTION, [LONG, page_of("Paris is the capital.")])
    assert covered(windows) == list(range(len(LONG.spans)))
    assert covered(windows, 1) == [0]
    assert len(windows) > 3
    assert max(len(window.ids) for window in windows) <= 128


def test_windows_begin_where_a_block_does(scorer: SpanScorer):
    starts = [window.first for window in scorer.windows(QUESTION, [LONG])]
    assert all(start == 0 or LONG.spans[start - 1].block != LONG.spans[start].block for start in starts)


def test_the_tokens_of_a_range_are_those_of_its_span(scorer: SpanScorer):
    for window in scorer.windows(QUESTION, [LONG]):
        for at, (left, right) in enumerate(window.ranges):
            span = LONG.spans[window.first + at]
            assert str(scorer.tokenizer.decode(window.ids[left:right])).strip() == LONG.page.text[span.start : span.end]


def test_a_block_longer_than_a_window_is_cut_between_spans_and_a_giant_span_loses_its_end(scorer: SpanScorer):
    long_block = page_of(" ".join(f"Sentence number {n} of one block." for n in range(40)))
    assert covered(scorer.windows(QUESTION, [long_block])) == list(range(len(long_block.spans)))
    page = long_block.page
    giant = TaggedPage(page, (Span(1, 0, len(page.text), 0),))
    (window,) = scorer.windows(QUESTION, [giant])
    assert len(window.ids) <= 128
    assert window.ranges[0][1] - window.ranges[0][0] > 32


def test_a_question_longer_than_the_model_leaves_room_for_the_page(scorer: SpanScorer):
    windows = scorer.windows("Why? " * 2000, [LONG])
    assert covered(windows) == list(range(len(LONG.spans)))
    assert max(len(window.ids) for window in windows) <= 128


def test_pages_without_spans_have_no_window(scorer: SpanScorer):
    assert scorer.windows(QUESTION, [TaggedPage(LONG.page, ())]) == []
    assert scorer.score([]) == []


def test_scores_are_in_the_order_of_the_windows_and_do_not_depend_on_the_batch(scorer: SpanScorer):
    windows = scorer.windows(QUESTION, [LONG, page_of("Paris is the capital.")])
    together, alone = scorer.score(windows, batch=16), [scorer.score([window])[0] for window in windows]
    for (spans, page), (own, own_page), window in zip(together, alone, windows, strict=True):
        assert len(spans) == len(window.ranges)
        assert spans == pytest.approx(own, abs=1e-5)
        assert page == pytest.approx(own_page, abs=1e-5)
        assert all(0 <= score <= 1 for score in spans)


def test_the_question_changes_the_scores(scorer: SpanScorer):
    one, other = (scorer.score(scorer.windows(question, [LONG]))[0][0] for question in (QUESTION, "Which currency has Japan?"))
    assert one != pytest.approx(other, abs=1e-6)


def test_a_calibration_moves_scores_without_changing_their_order(scorer: SpanScorer):
    windows = scorer.windows(QUESTION, [LONG])[:1]
    before = scorer.score(windows)[0][0]
    scorer.calibration = Calibration(scale=0.5, page=0.3, shift=-2.0)
    after = scorer.score(windows)[0][0]
    assert max(after) < min(0.5, max(before))
    assert sorted(range(len(before)), key=before.__getitem__) == sorted(range(len(after)), key=after.__getitem__)


def test_training_mode_draws_no_random_numbers(scorer: SpanScorer):
    rows = [window.to_row() for window in scorer.windows(QUESTION, [LONG])]
    scorer.train()
    assert torch.equal(scorer(rows)[0], scorer(rows)[0])


def test_all_weights_and_settings_come_back(scorer: SpanScorer, tmp_path: Path):
    scorer.calibration = Calibration(1.5, 0.5, -0.5, 0.25, fitted=True)
    scorer.save_pretrained(tmp_path / "scorer")
    assert not [file for file in tmp_path.rglob("*") if file.suffix in (".bin", ".pt", ".pkl")]
    loaded = SpanScorer.from_pretrained(tmp_path / "scorer", device="cpu")
    windows = scorer.windows(QUESTION, [LONG])
    assert loaded.calibration == scorer.calibration
    assert loaded.windows(QUESTION, [LONG]) == windows
    assert loaded.score(windows) == scorer.score(windows)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_scorer_of_other_features_is_refused_by_name(scorer: SpanScorer, tmp_path: Path):
    scorer.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace(f'"{FEATURES[0]}"', '"colour"'))
    with pytest.raises(ValueError, match=f"{tmp_path} is not a span scorer"):
        SpanScorer.from_pretrained(tmp_path)


def test_two_scorers_of_one_seed_are_equal(tiny_encoder_folder: Path, tiny_tokenizer: PreTrainedTokenizerFast):
    section = ModelSection(name=str(tiny_encoder_folder), dtype="float32")
    one, other = (SpanScorer.new(section, width=8, seed=5, device="cpu").state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
