"""Cleaning and cutting in a process of its own, so that a page that takes too long ends that process and not the worker.

A parser in C cannot be interrupted from Python. The kernel can: the process asks to be ended (SIGPROF) once it has spent a
page's processor time, which a busy machine does not shorten, and it ends by itself when its worker is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import NamedTuple

from aag_ray.config import PagesSection
from aag_ray.pages.blocks import read_page
from aag_ray.pages.page import Page, PageOutcome
from aag_ray.pages.plain import read_text
from aag_ray.pages.spans import Span, split_spans


class Tagged(NamedTuple):
    """A page and its spans, or why there is none."""

    outcome: PageOutcome
    detail: str = ""
    page: Page | None = None
    spans: tuple[Span, ...] = ()


def tag_page(text: str, url: str, config: PagesSection, *, is_html: bool) -> Tagged:
    """Clean and cut one page in this process, however long it takes."""
    result = (read_page if is_html else read_text)(text, url, config)
    spans = split_spans(result.page, config) if result.page else ()
    return Tagged(result.outcome, result.detail, result.page, spans)


class TimedTagger:
    """Does `tag_page` in a process that is started when it is first needed and replaced when a page has ended it."""

    def __init__(self, config: PagesSection) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def tag(self, text: str, url: str, *, is_html: bool) -> Tagged:
        """TIMED_OUT after `page_seconds` of processor time, FAILED if the process ended in another way or raised."""
        connection = self._connection or self._start()
        try:
            connection.send((text, url, is_html))
            return connection.recv()
        except (EOFError, OSError):
            status = self._ended()
        if status == -signal.SIGPROF:
            detail = f"{url or 'the page'} took more than {self._config.page_seconds:g} s of processor time"
            return Tagged(PageOutcome.TIMED_OUT, detail)
        return Tagged(PageOutcome.FAILED, f"{url or 'the page'}: the process that read it ended with status {status}")

    def close(self) -> None:
        """End the process, if there is one. A later page starts another."""
        if self._connection is not None:
            self._ended()

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", f"from aag_ray.pages.timed import serve; serve({theirs.fileno()})"]
            paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # a job may have brought its own
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=paths)
        self._connection = Connection(ours.detach())
        self._connection.send(self._config)
        return self._connection

    def _ended(self) -> int:
        assert self._connection is not None
        assert self._process is not None
        self._connection.close()
        self._connection = None
        return self._process.wait()


def serve(descriptor: int) -> None:
    """What the process does: answer on a socket until the other end is gone."""
    connection = Connection(descriptor)
    config: PagesSection = connection.recv()
    tag_page("<p>What is imported at the first page is not that page's time.</p>", "", config, is_html=True)
    while True:
        try:
            text, url, is_html = connection.recv()
        except (EOFError, OSError):  # the worker is gone
            return
        signal.setitimer(signal.ITIMER_PROF, config.page_seconds)
        try:
            answer = tag_page(text, url, config, is_html=is_html)
        except Exception as error:
            answer = Tagged(PageOutcome.FAILED, f"{url or 'the page'}: {type(error).__name__}: {error}")
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send(answer)
