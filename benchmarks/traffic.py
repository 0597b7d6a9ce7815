"""Clients that ask a served application without pause, and what became of each request."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Traffic:
    """Requests without pause, each ending as answered, excused, refused or broken."""

    url: str
    clients: int = 4
    ended: list[tuple[float, float, str, str]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask, args=(bool(number % 2),)) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()

    def _ask(self, stream: bool) -> None:
        import httpx2

        body = {"model": "aag", "stream": stream, "messages": [{"role": "user", "content": "What is the capital of Peru?"}]}
        with httpx2.Client(timeout=60, trust_env=False) as client:
            while not self.stopping.is_set():
                began = time.monotonic()
                try:
                    reply = client.post(f"{self.url}/v1/chat/completions", json=body)
                    how, detail = ending(reply.status_code, reply.text, stream)
                except httpx2.HTTPError as error:
                    how, detail = "broken", type(error).__name__
                self.ended.append((began, time.monotonic(), how, detail))
                if how != "answered":
                    self.stopping.wait(0.1)

    def counts(self) -> dict[str, int]:
        return dict(Counter(how for _, _, how, _ in self.ended))

    def report(self, killed: float) -> dict[str, Any]:
        """How requests ended, and the seconds from `killed` until one that began after it was answered."""
        counts, total = self.counts(), len(self.ended)
        again = [end for began, end, how, _ in self.ended if how == "answered" and began >= killed]
        return {
            "requests": total,
            **{how: counts.get(how, 0) for how in ("answered", "excused", "refused", "broken")},
            "share_not_broken": (total - counts.get("broken", 0)) / total,
            "reasons": dict(Counter(detail for _, _, how, detail in self.ended if how != "answered")),
            "recovery_seconds": min(again) - killed if again else None,
            "longest_seconds": max(end - began for began, end, _, _ in self.ended),
            "seconds_observed": max(end for _, end, _, _ in self.ended) - killed,
        }


def ending(status: int, text: str, stream: bool) -> tuple[str, str]:
    """answered: whole. excused: whole, and it says why there is no answer. refused: an error in OpenAI's form, of a stream
    as its last event. broken: everything else."""
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    whole = status == 200 and (not stream or events[-1:] == ["[DONE]"])
    replies = [as_json(each) for each in (events if stream and status == 200 else [text])]
    if replies and "error" in replies[-1]:
        return "refused", f"{status} {replies[-1]['error']['code']}"
    if not whole:
        return "broken", f"status {status}, {len(events)} events"
    own = [reply["aag"].get("provenance") for reply in replies if "aag" in reply]
    provenance = [each["provenance"] if isinstance(each, dict) else each for each in own if each]
    return ("answered", "") if provenance == ["from_memory"] else ("excused", str(provenance[-1:]))


def as_json(text: str) -> Mapping[str, Any]:
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
