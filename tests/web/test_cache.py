"""The page cache: one behaviour, in a SQLite file and in a real Redis server."""

import asyncio
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis import Redis
from redis.exceptions import RedisError

from aag_ray.config import CacheSection
from aag_ray.web.cache import CacheError, PageCache, RedisCache, SqliteCache, open_cache
from aag_ray.web.cached_page import CachedPage

PAGE = CachedPage("http://a.example/", 200, (("ETag", '"a"'),), 1.0, 2.0, 3.0, b"<p>body" * 100, "file:0:id")


def page(body: bytes) -> CachedPage:
    return CachedPage("http://a.example/", 200, (), 1.0, 1.0, 1.0, body)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis server that listens on a unix socket only."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    socket = tmp_path_factory.mktemp("redis") / "s"
    command = [
        program,
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(socket.parent),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = Redis.from_url(f"unix://{socket}")
        for _ in range(200):
            try:
                client.ping()
                break
            except RedisError:
                time.sleep(0.05)
        client.close()
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait(timeout=10)


@pytest_asyncio.fixture(params=["sqlite", "redis"])
async def cache(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PageCache]:
    where = str(tmp_path / "pages.db") if request.param == "sqlite" else request.getfixturevalue("redis_url")
    opened = open_cache(CacheSection(where=where, keep_seconds=60.0))
    assert opened is not None
    yield opened
    await opened.close()


@pytest.mark.asyncio
async def test_a_page_that_was_put_is_got(cache: PageCache):
    assert await cache.get("http://a.example/") is None
    await cache.put("http://a.example/", PAGE)
    assert await cache.get("http://a.example/") == PAGE
    await cache.put("http://a.example/", page(b"new"))
    assert await cache.get("http://a.example/") == page(b"new")
    assert await cache.get("http://b.example/") is None


@pytest.mark.asyncio
async def test_many_at_once_do_not_mix(cache: PageCache):
    async def round_trip(number: int) -> bool:
        await cache.put(f"k{number}", page(b"%d" % number))
        return await cache.get(f"k{number}") == page(b"%d" % number)

    assert all(await asyncio.gather(*map(round_trip, range(200))))


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
@pytest.mark.asyncio
async def test_a_page_is_forgotten_after_its_time(request: pytest.FixtureRequest, tmp_path: Path, kind: str):
    where = str(tmp_path / "pages.db") if kind == "sqlite" else request.getfixturevalue("redis_url")
    opened = open_cache(CacheSection(where=where, keep_seconds=0.05))
    assert opened is not None
    await opened.put("short", PAGE)
    await asyncio.sleep(0.2)
    assert await opened.get("short") is None
    await opened.close()


@pytest.mark.asyncio
async def test_damaged_entries_are_absent(tmp_path: Path, redis_url: str):
    cache = SqliteCache(tmp_path / "pages.db", CacheSection())
    shared = RedisCache(redis_url, 60.0)
    packed = PAGE.pack()
    client = Redis.from_url(redis_url)
    damages = (b"", b"\0", packed[:-5], packed[:20], b"\xff" * 50, b"\0\0\0\x02{}" + packed[-9:])
    for damage in damages:
        with sqlite3.connect(tmp_path / "pages.db") as other:
            other.execute("INSERT OR REPLACE INTO pages VALUES ('k', ?, ?)", (time.time(), damage))
        client.set("aag:page:k", damage)
        assert await cache.get("k") is None
        assert await shared.get("k") is None
    client.close()
    await cache.close()
    await shared.close()


@pytest.mark.asyncio
async def test_a_file_is_kept_over_a_restart(tmp_path: Path):
    for expected in (None, PAGE):
        cache = SqliteCache(tmp_path / "deep" / "pages.db", CacheSection())
        assert await cache.get("k") == expected
        await cache.put("k", PAGE)
        await cache.close()


def test_several_processes_share_a_file(tmp_path: Path):
    code = (
        "import asyncio, sys; from pathlib import Path; from aag_ray.config import CacheSection;"
        "from aag_ray.web.cache import SqliteCache; from aag_ray.web.cached_page import CachedPage\n"
        "async def main():\n"
        "    cache = SqliteCache(Path(sys.argv[1]), CacheSection())\n"
        "    for number in range(50):\n"
        "        await cache.put(f'{sys.argv[2]}-{number}', CachedPage('u', 200, (), 0, 0, 0, b'x' * 2000))\n"
        "    await cache.close()\n"
        "asyncio.run(main())"
    )
    path = tmp_path / "pages.db"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(name)]) for name in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM pages").fetchone() == (150,)


@pytest.mark.asyncio
async def test_a_file_stays_below_its_size_by_forgetting_the_oldest(tmp_path: Path):
    cache = SqliteCache(tmp_path / "pages.db", CacheSection(max_bytes=200_000))
    noise = random.Random(29)
    for number in range(100):
        await cache.put(f"k{number}", page(noise.randbytes(10_000)))
    await cache.prune()
    assert await cache.get("k0") is None
    assert await cache.get("k99") is not None
    assert await cache._used_bytes() <= 200_000
    await cache.close()


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path):
    (tmp_path / "pages.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(CacheError, match=r"pages\.db cannot be opened"):
        open_cache(CacheSection(where=str(tmp_path / "pages.db")))
    with pytest.raises(CacheError, match=r"/proc/pages\.db"):
        open_cache(CacheSection(where="/proc/pages.db"))


@pytest.mark.asyncio
async def test_a_server_that_is_down_is_a_typed_error_without_its_password(tmp_path: Path, unused_tcp_port: int):
    cache = open_cache(CacheSection(where=f"redis://user:secret@127.0.0.1:{unused_tcp_port}/0"))
    assert cache is not None
    for work in (cache.get("k"), cache.put("k", PAGE)):
        with pytest.raises(CacheError, match=f"127.0.0.1:{unused_tcp_port}") as error:
            await work
        assert "secret" not in str(error.value)
    await cache.close()


def test_no_cache_is_a_setting():
    assert open_cache(CacheSection()) is None
