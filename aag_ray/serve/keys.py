"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aag_ray.config import ApiKeySection
from aag_ray.serve.errors import ApiError
from aag_ray.settings import ConfigError

ANYBODY = "anybody"


class TokenBucket:
    """Lets `burst` through at once and `per_minute` over time. `clock` counts seconds."""

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second, self.burst, self.clock = per_minute / 60, burst, clock
        self.level, self.since = float(burst), clock()

    def take(self) -> float:
        """0 if one may pass now, which counts; else the seconds until one may, which does not."""
        now = self.clock()
        self.level = min(self.burst, self.level + (now - self.since) * self.per_second)
        self.since = now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) / self.per_second


@dataclass(frozen=True, slots=True)
class Client:
    """One key's owner. Only a digest of the key is kept."""

    name: str
    digest: bytes
    bucket: TokenBucket | None


class Keyring:
    """All keys of a configuration, read from the environment once. Raises ConfigError for a variable that is not set."""

    def __init__(
        self,
        sections: Sequence[ApiKeySection],
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clients: list[Client] = []
        for section in sections:
            key = environment.get(section.key_env, "")
            if not key:
                raise ConfigError(f"api_keys: the environment variable {section.key_env} of {section.name!r} is not set")
            limit = section.requests_per_minute
            bucket = TokenBucket(limit, section.burst, clock) if limit is not None else None
            self.clients.append(Client(section.name, _digest(key), bucket))

    def admit(self, authorization: str | None) -> str:
        """The client's name for an Authorization header; ANYBODY if no keys are configured.

        Raises ApiError 401 for a missing or wrong key, and 429 with the time to wait above the client's rate. Every key is
        compared in constant time, also after a match.
        """
        if not self.clients:
            return ANYBODY
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise ApiError(401, "an API key is needed: Authorization: Bearer KEY", code="missing_api_key")
        given = _digest(key.strip())
        matches = [client for client in self.clients if hmac.compare_digest(client.digest, given)]
        if not matches:
            raise ApiError(401, "the API key is not known", code="invalid_api_key")
        client = matches[0]
        if client.bucket is not None and (wait := client.bucket.take()):
            raise ApiError(429, f"too many requests; try again in {wait:.1f} s", code="rate_limit_exceeded", retry_after=wait)
        return client.name


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
