"""Dates as search engines write them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime

AGO = re.compile(r"(?P<count>\d{1,4}) (?P<unit>second|minute|min|hour|day|week|month|year)s? ago", re.IGNORECASE)
DAYS = {"second": 0.0, "minute": 0.0, "min": 0.0, "hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.4, "year": 365.25}
WRITTEN = ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%Y/%m/%d", "%Y.%m.%d")


def published_on(text: str, today: date) -> date | None:
    """The day that a date names: ISO 8601, RFC 5322, "Jan 5, 2024", "5 Jan 2024" or "3 days ago"; None for all else.

    A day after tomorrow of `today` is a mistake or a trick, and counts as none.
    """
    found = _day(text.strip(), today)
    return found if found is not None and found <= today + timedelta(days=1) else None


def _day(text: str, today: date) -> date | None:
    if ago := AGO.fullmatch(text):
        try:
            return today - timedelta(days=round(int(ago["count"]) * DAYS[ago["unit"].lower()]))
        except OverflowError:
            return None
    if re.match(r"\d{4}-\d\d-\d\d", text):
        try:
            return date.fromisoformat(text[:10])
        except ValueError:
            return None
    for form in WRITTEN:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    try:
        return parsedate_to_datetime(text).date()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
