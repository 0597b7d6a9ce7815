"""Pages that were read before, by canonical URL: a SQLite file on one machine, Redis for a cluster."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aag_ray.config import CacheSection
from aag_ray.web.cached_page import CachedPage

PRUNE_EVERY = 500
REDIS_CONNECTIONS = 16
PRUNED_SHARE = 10  # one tenth of the rows, the oldest
T = TypeVar("T")


class CacheError(RuntimeError):
    """The cache cannot be used; the message names it. A fetch goes on without it."""


class PageCache(Protocol):
    """What a cache does. Every method raises CacheError if the store behind it fails; damaged entries are absent."""

    async def get(self, key: str) -> CachedPage | None: ...

    async def put(self, key: str, page: CachedPage) -> None: ...

    async def close(self) -> None: ...


def open_cache(config: CacheSection) -> PageCache | None:
    """The cache a configuration names, or None. Raises CacheError if a file cannot be opened."""
    if config.where is None:
        return None
    if config.where.startswith(("redis://", "rediss://", "unix://")):
        return RedisCache(config.where, config.keep_seconds)
    return SqliteCache(Path(config.where), config)


def _read(packed: bytes | None) -> CachedPage | None:
    try:
        return CachedPage.unpack(packed) if packed else None
    except (ValueError, TypeError, KeyError, zlib.error):
        return None


class SqliteCache:
    """A SQLite file, used by several processes of one machine at once."""

    def __init__(self, path: Path, config: CacheSection) -> None:
        self.path = path
        self.config = config
        self.lock = threading.Lock()
        self.puts = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            self.database.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                "CREATE TABLE IF NOT EXISTS pages (key TEXT PRIMARY KEY, stored REAL NOT NULL, page BLOB NOT NULL);"
                "CREATE INDEX IF NOT EXISTS pages_stored ON pages (stored);"
            )
        except (OSError, sqlite3.Error) as error:
            raise CacheError(f"the cache {path} cannot be opened: {error}") from error

    async def get(self, key: str) -> CachedPage | None:
        rows = await self._run(
            "SELECT page FROM pages WHERE key = ? AND stored > ?", key, time.time() - self.config.keep_seconds
        )
        return _read(rows[0][0]) if rows else None

    async def put(self, key: str, page: CachedPage) -> None:
        await self._run("INSERT OR REPLACE INTO pages VALUES (?, ?, ?)", key, time.time(), page.pack())
        self.puts += 1
        if self.puts % PRUNE_EVERY == 1:
            await self.prune()

    async def prune(self) -> None:
        """Forget what is too old, and the oldest tenth for as long as the file holds more than it may."""
        await self._run("DELETE FROM pages WHERE stored <= ?", time.time() - self.config.keep_seconds)
        while await self._used_bytes() > self.config.max_bytes:
            rows = await self._run("SELECT count(*) FROM pages")
            if not rows[0][0]:
                return
            oldest = "SELECT key FROM pages ORDER BY stored LIMIT ?"
            await self._run(f"DELETE FROM pages WHERE key IN ({oldest})", max(1, rows[0][0] // PRUNED_SHARE))

    async def close(self) -> None:
        await asyncio.to_thread(self._locked, self.database.close)

    async def _used_bytes(self) -> int:
        tables = "pragma_page_count, pragma_freelist_count, pragma_page_size"
        rows = await self._run(f"SELECT (page_count - freelist_count) * page_size FROM {tables}")
        return rows[0][0]

    async def _run(self, statement: str, *values: object) -> list[Any]:
        try:
            return await asyncio.to_thread(self._locked, lambda: self.database.execute(statement, values).fetchall())
        except sqlite3.Error as error:
            raise CacheError(f"the cache {self.path} failed: {error}") from error

    def _locked(self, work: Callable[[], T]) -> T:
        with self.lock:
            return work()


class RedisCache:
    """A Redis server that all workers of a cluster share. It forgets pages by itself, and bounds its own memory."""

    def __init__(self, url: str, keep_seconds: float) -> None:
        from redis.asyncio import BlockingConnectionPool, Redis

        self.url = url
        self.keep_seconds = keep_seconds
        # The default pool refuses the 101st request at once instead of letting it wait.
        pool = BlockingConnectionPool.from_url(
            url, max_connections=REDIS_CONNECTIONS, timeout=5, socket_timeout=5, socket_connect_timeout=5
        )
        self.client = Redis(connection_pool=pool)

    async def get(self, key: str) -> CachedPage | None:
        return _read(await self._run(self.client.get(f"aag:page:{key}")))

    async def put(self, key: str, page: CachedPage) -> None:
        await self._run(self.client.set(f"aag:page:{key}", page.pack(), px=max(1, int(self.keep_seconds * 1000))))

    async def close(self) -> None:
        await self.client.aclose()
        await self.client.connection_pool.disconnect()

    async def _run(self, command: Awaitable[Any]) -> Any:
        from redis.exceptions import RedisError

        try:
            return await command
        except (RedisError, OSError) as error:
            raise CacheError(f"the cache {self.url.rpartition('@')[2]} failed: {error}") from error
