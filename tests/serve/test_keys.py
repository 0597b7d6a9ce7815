"""Keys and rates, with a clock that the test moves."""

from __future__ import annotations

import contextlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.config import ApiKeySection
from aag_ray.serve.errors import ApiError
from aag_ray.serve.keys import ANYBODY, Keyring, TokenBucket
from aag_ray.settings import ConfigError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_the_rate_does():
    clock = Clock()
    bucket = TokenBucket(per_minute=6, burst=2, clock=clock)
    assert [bucket.take(), bucket.take(), bucket.take()] == [0, 0, 10.0]
    clock.now += 9
    assert bucket.take() == pytest.approx(1.0)
    clock.now += 1
    assert bucket.take() == 0


@given(st.lists(st.floats(0, 100), max_size=50), st.integers(1, 20))
def test_never_more_pass_than_burst_and_rate_allow(waits: list[float], burst: int):
    clock = Clock()
    bucket = TokenBucket(per_minute=30, burst=burst, clock=clock)
    passed = 0
    for wait in waits:
        clock.now += wait
        passed += bucket.take() == 0
    assert passed <= burst + (clock.now - 100.0) / 2 + 1e-6


SECTIONS = [ApiKeySection(name="amy", key_env="AMY", requests_per_minute=60, burst=1), ApiKeySection(name="bob", key_env="BOB")]
KEYS = {"AMY": "key of amy", "BOB": "schlüssel"}


def test_each_key_is_its_clients():
    ring = Keyring(SECTIONS, KEYS, Clock())
    assert ring.admit("Bearer key of amy") == "amy"
    assert [ring.admit("bearer  schlüssel") for _ in range(100)] == ["bob"] * 100


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer  ", "Basic key of amy", "Bearer key of am", "Bearer key of amyy", "amy"]
)
def test_anything_else_is_401_and_says_no_more(header: str | None):
    with pytest.raises(ApiError) as refused:
        Keyring(SECTIONS, KEYS, Clock()).admit(header)
    assert refused.value.status == 401
    assert "amy" not in str(refused.value)


def test_one_clients_rate_is_not_anothers():
    ring = Keyring(SECTIONS, KEYS, Clock())
    ring.admit("Bearer key of amy")
    with pytest.raises(ApiError) as refused:
        ring.admit("Bearer key of amy")
    assert (refused.value.status, refused.value.retry_after) == (429, 1.0)
    assert refused.value.response.headers["retry-after"] == "1"
    assert ring.admit("Bearer schlüssel") == "bob"


def test_without_keys_anybody_may_ask():
    assert Keyring([], {}).admit(None) == ANYBODY


def test_an_empty_variable_is_no_key():
    with pytest.raises(ConfigError, match="BOB of 'bob' is not set"):
        Keyring(SECTIONS, KEYS | {"BOB": ""})


@pytest.mark.parametrize("key", ["key of amy", "schlüssel", "neither", ""])
def test_every_key_is_compared_whole_whichever_was_given(monkeypatch: pytest.MonkeyPatch, key: str):
    ring, lengths = Keyring(SECTIONS, KEYS, Clock()), []

    def compare(one: bytes, other: bytes) -> bool:
        lengths.append((len(one), len(other)))
        return constant_time(one, other)

    constant_time = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    with contextlib.suppress(ApiError):
        ring.admit(f"Bearer {key}")
    assert lengths == [(32, 32)] * (len(KEYS) if key else 0)
