"""Mixed ranking: which signals decide, what is left out and why, and that no engine can promote a wrong page alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from aag_ray.config import RankSection
from aag_ray.web.rank.mixed import Ranker
from aag_ray.web.rank.ranked import DropReason, PageText
from aag_ray.web.search.answer import SearchResult

TODAY = date(2026, 3, 10)
QUERY = "what is the capital of Peru"
TOPICS = ("capital", "peru", "lima", "cheese", "football", "weather", "bank", "loan")


def result(name: str, snippet: str = "", rank: int = 1, url: str = "", **more: Any) -> SearchResult:
    return SearchResult(url or f"https://{name}.example/", name, snippet, rank, "one", ranks=(("one", rank),), **more)


def ranker(**changes: Any) -> Ranker:
    """Every signal weighs 1 unless told otherwise, so that a test can do the sum."""
    collaborators = {name: changes.pop(name) for name in ("embed", "score", "originals") if name in changes}
    changes["weights"] = dict.fromkeys(("engine", "lexical", "embedding", "cross_encoder", "recency"), 1.0) | changes.get(
        "weights", {}
    )
    return Ranker(RankSection.model_validate(changes), **collaborators)


def names(items: Sequence[SearchResult | PageText]) -> list[str]:
    return [item.title if isinstance(item, SearchResult) else item.result.title for item in items]


def by_topic(texts: list[str]) -> np.ndarray:
    """A small real embedding: how often each topic is named, and one number so that no vector is nothing."""
    counts = np.array([[text.lower().count(topic) for topic in TOPICS] + [0.1] for text in texts], dtype=np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


class TestSignals:
    def test_every_place_is_explained(self):
        results = [result("a", "cheese and wine", 1), result("b", "Lima is the capital of Peru", 2)]
        ranking = ranker(embed=by_topic).rank_snippets(QUERY, results)
        first, second = ranking.kept
        assert names(ranking.items) == ["b", "a"]
        assert [(signal.name, signal.rank) for signal in first.signals] == [("engine:one", 2), ("lexical", 1), ("embedding", 1)]
        assert [(signal.name, signal.rank) for signal in second.signals] == [("engine:one", 1), ("embedding", 2)]
        assert first.score == pytest.approx(sum(signal.contribution for signal in first.signals))
        assert first.score == pytest.approx(1 / 62 + 1 / 61 + 1 / 61)
        assert first.signal("lexical") is not None
        assert second.signal("lexical") is None

    def test_alone_the_engines_order_stays(self):
        results = [result(str(rank), "cheese", rank) for rank in range(1, 8)]
        weights = {"lexical": 0.0}
        assert names(ranker(weights=weights, snippets_kept=7).rank_snippets(QUERY, results).items) == list("1234567")

    def test_engines_share_one_weight(self):
        both = SearchResult("https://a.example/", "a", "", 1, "x", ranks=(("x", 1), ("y", 1)))
        one = SearchResult("https://b.example/", "b", "", 2, "x", ranks=(("x", 2),))
        ranking = ranker().rank_snippets("zebra", [both, one])
        assert ranking.kept[0].score == pytest.approx(1 / 61)
        assert ranking.kept[1].score == pytest.approx(0.5 / 62)

    def test_an_engine_may_weigh_more_than_another(self):
        ours = SearchResult("https://a.example/", "a", "", 1, "x", ranks=(("x", 1), ("y", 2)))
        theirs = SearchResult("https://b.example/", "b", "", 2, "y", ranks=(("x", 2), ("y", 1)))
        assert names(ranker(engines={"x": 3.0}).rank_snippets("zebra", [theirs, ours]).items) == ["a", "b"]
        assert names(ranker(engines={"y": 3.0}).rank_snippets("zebra", [ours, theirs]).items) == ["b", "a"]

    def test_a_cross_encoder_sees_the_question_and_the_first_items_only(self):
        seen: list[tuple[str, list[str]]] = []

        def score(query: str, texts: list[str]) -> list[float]:
            seen.append((query, texts))
            return [float("Lima" in text) for text in texts]

        results = [result(str(rank), "Lima" if rank == 3 else "Cusco", rank) for rank in range(1, 6)]
        ranking = ranker(score=score, cross_encoded=3, weights={"cross_encoder": 2.0}).rank_snippets("zebra", results)
        assert names(ranking.items)[0] == "3"
        assert seen == [("zebra", ["1\nCusco", "2\nCusco", "3\nLima"])]
        assert [each.signal("cross_encoder") is None for each in ranking.kept] == [False, False, False, True, True]

    def test_a_weight_of_nothing_spares_the_work(self):
        def never(*arguments: object) -> Any:
            raise AssertionError("was asked")

        idle = ranker(embed=never, score=never, weights={"embedding": 0.0, "cross_encoder": 0.0})
        assert len(idle.rank_snippets(QUERY, [result("a")]).kept) == 1

    def test_nothing_to_rank_is_nothing(self):
        def score(query: str, texts: list[str]) -> list[float]:
            return [0.0] * len(texts)

        full = ranker(embed=by_topic, score=score, originals=lambda texts: range(len(texts)))
        assert full.rank_snippets(QUERY, []).kept == ()
        assert full.rank_pages(QUERY, []).kept == ()


class TestAge:
    RESULTS = (
        result("old", "news", 1, published=TODAY - timedelta(days=900)),
        result("new", "news", 2, published=TODAY - timedelta(days=1)),
        result("undated", "news", 3),
    )

    def test_it_counts_only_for_a_question_of_its_time(self):
        assert names(ranker().rank_snippets("news", self.RESULTS, today=TODAY).items) == ["old", "new", "undated"]
        ranking = ranker().rank_snippets("news", self.RESULTS, time_sensitive=True, today=TODAY)
        assert names(ranking.items) == ["new", "old", "undated"]
        assert ranking.kept[2].signal("recency") is None

    @pytest.mark.parametrize(("days", "strength"), [(0, 1.0), (30, 0.5), (60, 0.25), (-1, 1.0)])
    def test_it_fades_with_its_half_life(self, days, strength):
        results = [result("a", published=TODAY - timedelta(days=days))]
        (each,) = ranker(half_life_days=30).rank_snippets("q", results, time_sensitive=True, today=TODAY).kept
        signal = each.signal("recency")
        assert signal is not None
        assert signal.contribution == pytest.approx(strength / 61)

    def test_a_page_from_the_future_has_no_date(self):
        results = [result("a", published=TODAY + timedelta(days=400))]
        (each,) = ranker().rank_snippets("q", results, time_sensitive=True, today=TODAY).kept
        assert each.signal("recency") is None

    def test_a_pages_own_date_is_believed_before_the_engines(self):
        page = PageText(result("a", published=TODAY), "text", published=TODAY - timedelta(days=30))
        (each,) = ranker().rank_pages("q", [page], time_sensitive=True, today=TODAY).kept
        signal = each.signal("recency")
        assert signal is not None
        assert signal.value == -30


class TestLeftOut:
    def test_a_publisher_has_its_share_and_no_more(self):
        urls = [f"https://{sub}.example.com/" for sub in "abcd"] + ["https://other.example.net/"]
        results = [result(str(rank), "x", rank, url) for rank, url in enumerate(urls, 1)]
        ranking = ranker(per_host=2).rank_snippets("q", results)
        assert names(ranking.items) == ["1", "2", "5"]
        assert [each.rank for each in ranking.kept] == [1, 2, 3]
        assert [(each.ranked.item.title, each.ranked.rank, each.reason, each.detail) for each in ranking.dropped] == [
            ("3", 3, DropReason.HOST_CAP, "example.com"),
            ("4", 4, DropReason.HOST_CAP, "example.com"),
        ]

    def test_of_near_duplicates_the_best_placed_is_kept(self):
        pages = [PageText(result(str(rank), rank=rank), text) for rank, text in enumerate(("same", "other", "same"), 1)]

        def originals(texts: list[str]) -> list[int]:
            return [texts.index(text) for text in texts]

        ranking = ranker(originals=originals).rank_pages("q", pages)
        assert names(ranking.items) == ["1", "2"]
        (gone,) = ranking.dropped
        assert (gone.reason, gone.detail) == (DropReason.NEAR_DUPLICATE, "https://1.example/")

    def test_a_copy_takes_the_place_of_an_original_that_its_host_has_no_room_for(self):
        pages = [
            PageText(result("1", rank=1, url="https://a.example.com/"), "first"),
            PageText(result("2", rank=2, url="https://b.example.com/"), "same"),
            PageText(result("3", rank=3, url="https://c.example.net/"), "same"),
        ]
        ranking = ranker(per_host=1, originals=lambda texts: [0, 1, 1]).rank_pages("q", pages)
        assert names(ranking.items) == ["1", "3"]
        assert [each.reason for each in ranking.dropped] == [DropReason.HOST_CAP]

    def test_beyond_the_limit_nothing_is_lost_from_sight(self):
        results = [result(str(rank), "x", rank) for rank in range(1, 15)]
        ranking = ranker(snippets_kept=10).rank_snippets("q", results)
        assert (len(ranking.kept), {each.reason for each in ranking.dropped}) == (10, {DropReason.BELOW_LIMIT})
        assert len(ranker().rank_snippets("q", results, keep=3).kept) == 3
        assert len(ranking.kept) + len(ranking.dropped) == len(results)


class TestPages:
    def test_a_page_is_as_good_as_its_best_chunk(self):
        filler = "weather and football " * 200
        pages = [
            PageText(result("long", rank=2), f"{filler} Lima is the capital of Peru. {filler}"),
            PageText(result("off", rank=1), f"{filler} {filler}"),
        ]
        ranking = ranker(embed=by_topic, chunk_words=20, overlap_words=5).rank_pages(QUERY, pages)
        assert names(ranking.items) == ["long", "off"]

    def test_the_cross_encoder_sees_the_best_chunk_with_the_title(self):
        seen: list[str] = []

        def score(query: str, texts: list[str]) -> list[float]:
            seen.extend(texts)
            return [1.0] * len(texts)

        page = PageText(result("a"), "football " * 40 + "Lima is the capital of Peru " + "football " * 40, title="On Lima")
        ranker(score=score, chunk_words=10, overlap_words=5).rank_pages(QUERY, [page])
        assert seen[0].startswith("On Lima\n")
        assert "capital of Peru" in seen[0]

    def test_only_some_chunks_are_embedded(self):
        counted: list[int] = []

        def embed(texts: list[str]) -> np.ndarray:
            counted.append(len(texts))
            return by_topic(texts)

        page = PageText(result("a"), "football " * 5000)
        ranker(embed=embed, embedded_chunks=3).rank_pages(QUERY, [page, page])
        assert counted == [7]

    def test_a_page_without_text_is_ranked_by_its_title_and_its_engine(self):
        ranking = ranker(embed=by_topic).rank_pages(QUERY, [PageText(result("a"), ""), PageText(result("b", rank=2), "Peru")])
        assert len(ranking.kept) == 2


class TestBehaviour:
    def results(self) -> list[SearchResult]:
        texts = ["cheap loan from a bank", "Lima, capital of Peru", "the weather in Peru", "football in Lima", "Peru cheese"]
        return [result(str(rank), text, rank) for rank, text in enumerate([*texts, "the bank"], 1)]

    @pytest.mark.parametrize("seed", range(5))
    def test_the_order_of_coming_changes_nothing(self, seed):
        whole = ranker(embed=by_topic)
        expected = whole.rank_snippets(QUERY, self.results())
        shuffled = random.Random(seed).sample(self.results(), 6)
        assert whole.rank_snippets(QUERY, shuffled).kept == expected.kept

    def test_ties_are_broken_the_same_way_each_time(self):
        twins = [SearchResult(f"https://{name}.example/", "t", "s", 1, name, ranks=((name, 1),)) for name in "cab"]
        orders = {tuple(each.url for each in ranker().rank_snippets("q", random.sample(twins, 3)).items) for _ in range(10)}
        assert orders == {("https://a.example/", "https://b.example/", "https://c.example/")}

    def test_a_wrong_page_that_an_engine_promotes_does_not_stay_first(self):
        assert self.results()[0].snippet == "cheap loan from a bank"
        assert names(ranker(embed=by_topic).rank_snippets(QUERY, self.results()).items)[0] == "2"
        assert names(ranker().rank_snippets(QUERY, self.results()).items)[0] == "2"

    def test_naming_the_answers_subject_never_lowers_a_page(self):
        before = ranker().rank_snippets(QUERY, self.results())
        better = [result("6", "the capital of Peru, the capital of Peru", 6) if r.title == "6" else r for r in self.results()]
        after = ranker().rank_snippets(QUERY, better)
        place = {each.item.title: each.rank for each in after.kept}
        assert place["6"] < {each.item.title: each.rank for each in before.kept}["6"]


def test_chunks_must_advance():
    with pytest.raises(ValueError, match="overlap_words=80 is more than half of chunk_words=100"):
        RankSection(chunk_words=100, overlap_words=80)
