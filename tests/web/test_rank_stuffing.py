"""Text that says one phrase over and over is worth less, whoever publishes it; ordinary text is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.config import RankSection
from aag_ray.web.rank.mixed import Ranker
from aag_ray.web.rank.ranked import PageText
from aag_ray.web.rank.stuffing import stuffing
from aag_ray.web.search.answer import SearchResult

FACTS = ("capital", "currency", "language", "population", "continent", "river", "president", "highest mountain")
CLAIMS = "\n".join(f"Experts confirm: the {fact} of Peru is the one that only we know." for fact in FACTS)
ARTICLE = """Peru lies on the west coast of South America. Its capital is Lima, a city of ten million people.
The country was the heart of the Inca empire before the Spanish came in 1532. Today it exports copper, gold and fruit.
Most Peruvians speak Spanish, and several million speak Quechua at home. The Andes cross it from north to south.
Rain falls in the east, where the Amazon begins. On the coast it hardly ever does."""

STUFFED = {
    "one sentence with changing facts": CLAIMS,
    "with honest words around it": f"All about Peru in one place for you.\n{CLAIMS}\nThank you for reading our page.",
    "a list of keywords": "capital of peru " * 50,
    "one sentence again and again": "What is the capital of Peru? " * 20,
}
ORDINARY = {
    "nothing": "",
    "an article": ARTICLE,
    "a list that says each thing once": "\n".join(f"{fact}: {number}" for number, fact in enumerate(FACTS)),
    "a few sentences that begin alike": "The sun is a star in space. The sun is very hot indeed. The sun will last for long.",
    "Chinese": "秘鲁位于南美洲西部。首都是利马。人口约三千三百万。安第斯山脉从北到南贯穿全国。",
}


@pytest.mark.parametrize("text", STUFFED.values(), ids=STUFFED)
def test_stuffed_text_is_seen(text: str):
    assert stuffing(text) > 0.8


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_text_is_not(text: str):
    assert stuffing(text) == 0


@given(st.text(max_size=300))
def test_any_text_has_a_share(text: str):
    assert 0 <= stuffing(text) <= 1


def pages() -> list[PageText]:
    found = [("stuffed", CLAIMS, 1), ("article", ARTICLE, 2)]
    return [
        PageText(SearchResult(f"https://{name}.example/", name, "", rank, "one", ranks=(("one", rank),)), text)
        for name, text, rank in found
    ]


def test_a_stuffed_page_that_an_engine_promotes_comes_after_an_article_and_says_why():
    ranking = Ranker(RankSection()).rank_pages("what is the capital of Peru", pages())
    assert [item.result.title for item in ranking.items] == ["article", "stuffed"]
    article, stuffed = ranking.kept
    signal = stuffed.signal("stuffing")
    assert signal is not None
    assert signal.contribution < 0
    assert stuffed.score == pytest.approx(sum(each.contribution for each in stuffed.signals))
    assert article.signal("stuffing") is None


def test_without_a_penalty_the_engine_has_its_way():
    ranking = Ranker(RankSection(stuffing_penalty=0.0)).rank_pages("what is the capital of Peru", pages())
    assert ranking.items[0].result.title == "stuffed"
