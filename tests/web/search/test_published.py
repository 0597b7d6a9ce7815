"""Dates as engines write them."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.web.search.published import published_on

TODAY = date(2026, 3, 10)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        ("2024-01-15T10:00:00", date(2024, 1, 15)),
        ("2024-01-15T23:59:59+09:00", date(2024, 1, 15)),
        ("2024-01-15T10:00:00.0000000Z", date(2024, 1, 15)),
        ("Mon, 15 Jan 2024 10:00:00 GMT", date(2024, 1, 15)),
        ("15 Jan 2024 10:00:00 +0000", date(2024, 1, 15)),
        ("Jan 15, 2024", date(2024, 1, 15)),
        ("January 5, 2024", date(2024, 1, 5)),
        ("5 March 2024", date(2024, 3, 5)),
        ("2024/3/5", date(2024, 3, 5)),
        (" 3 days ago ", date(2026, 3, 7)),
        ("1 day ago", date(2026, 3, 9)),
        ("5 hours ago", TODAY),
        ("30 mins ago", TODAY),
        ("2 weeks ago", date(2026, 2, 24)),
        ("1 year ago", date(2025, 3, 10)),
        ("2026-03-11", date(2026, 3, 11)),
    ],
)
def test_a_day_is_read(text, day):
    assert published_on(text, TODAY) == day


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2024", "2023-02-29", "2024-13-01", "2026-03-12", "2099-01-01", "Jan 45, 2024", "9999 years ago", "1"],
)
def test_what_is_no_day_or_not_yet_is_none(text):
    assert published_on(text, TODAY) is None


@given(st.text(max_size=60))
def test_no_text_is_too_odd(text):
    found = published_on(text, TODAY)
    assert found is None or found <= date(2026, 3, 11)


@given(st.dates(max_value=TODAY))
def test_iso_is_read_back(day):
    assert published_on(day.isoformat(), TODAY) == day
