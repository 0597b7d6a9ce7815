"""Requests that cannot be answered are refused when they are made."""

from __future__ import annotations

import pytest

from aag_ray.answer.request import AnswerRequest, Budget, Filters, Role, Turn, Wishes
from aag_ray.config import BudgetSection
from aag_ray.web.search.request import Freshness, SearchRequest


@pytest.mark.parametrize("turns", [(), (Turn(Role.ASSISTANT, "hello"),), (Turn(Role.USER, " ?! "),)])
def test_a_conversation_ends_with_a_question(turns: tuple[Turn, ...]):
    with pytest.raises(ValueError, match=r"question"):
        AnswerRequest(turns)


def test_a_client_may_ask_for_less_in_everything():
    most = BudgetSection(seconds=10.0, pages=5, tokens=1000, answer_tokens=100)
    assert Wishes(3.0, 9, 500, 200).within(most) == Budget(3.0, 5, 500, 100)
    assert Wishes().within(most) == Budget(10.0, 5, 1000, 100)


@pytest.mark.parametrize(("most", "got"), [(6, 3), (5, 2), (1, 1)])
def test_a_share_of_the_pages_is_one_at_least(most: int, got: int):
    assert Wishes(pages_share=0.5).within(BudgetSection(pages=most)).pages == got


def test_filters_are_laid_over_a_search():
    filters = Filters("de", Freshness.DAY, ("Example.org",), ("spam.test",))
    over = filters.over(SearchRequest("x", language="en"))
    assert (over.language, over.freshness) == ("de", Freshness.DAY)
    assert (over.include_domains, over.exclude_domains) == (("example.org",), ("spam.test",))


def test_what_a_client_does_not_say_stays():
    assert Filters().over(SearchRequest("x", language="en", freshness=Freshness.WEEK)).language == "en"


@pytest.mark.parametrize("wrong", [{"language": "german"}, {"include_domains": ("a b",)}, {"exclude_domains": ("",)}])
def test_filters_that_cannot_be_are_refused(wrong: dict):
    with pytest.raises(ValueError, match="is not"):
        Filters(**wrong)
