"""The local web as a running server: every host on a loopback address of its own, all on one port.

    async with LocalWeb(SiteSection(pages=400)).running() as web:
        ...  # web.search_url, web.seeds, web.allow, web.truth()

Hosts are asked by address (`http://127.0.0.2:PORT/`) or, with a resolver that knows them, by name (`travel.world.test`).
Pages are made when they are asked for.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

from aag_ray.config import RAY_PORTS
from aag_ray.world.index import PageIndex
from aag_ray.world.searx import BadSearch, as_html, search
from aag_ray.world.site import DOMAIN, Host, Page, Site, SiteSection, Style
from aag_ray.world.site_markup import Markup, Origin, Rendered
from aag_ray.world.site_wording import PRIVATE
from aag_ray.world.sitemaps import robots, sitemap, sitemap_path
from aag_ray.world.trap_answers import document
from aag_ray.world.traps import trap_at, trap_paths

HTML = {"Content-Type": "text/html; charset=utf-8"}
PORTS_TRIED = 20
ABOUT = "This site belongs to a small web that one machine keeps for itself."


class PageResponse(web.Response):
    """Forgets its body once it is sent: an idle connection keeps its last response, and a crawl leaves thousands of them."""

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        self.body = None


class LocalWeb:
    """All hosts of one section. `asked` counts requests by host and kind of page while it runs.

    Raises ImportError and ValueError as `build_world` does.
    """

    def __init__(self, section: SiteSection) -> None:
        self.section = section
        self.site = Site(section)
        self.markup = Markup(self.site)
        self.port = 0
        self.asked: Counter[tuple[str, str]] = Counter()
        self._index: PageIndex | None = None
        self._indexing = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[LocalWeb, None]:
        """Serve inside the block. Raises OSError, naming address and port, if a port cannot be had."""
        with ExitStack() as opened:
            sockets = self._bind(opened)
            if self.section.index == "at_start":
                await self.index()
            runner = web.ServerRunner(web.Server(self.answer, access_log=None), shutdown_timeout=1.0)
            await runner.setup()
            try:
                for each in sockets:
                    await web.SockSite(runner, each, backlog=512).start()
                yield self
            finally:
                await runner.cleanup()

    def origin(self, host: Host) -> str:
        """Where a host is asked by address."""
        return f"http://{host.address}:{self.port}"

    def named_origin(self, host: Host) -> str:
        """Where a host is asked by name."""
        return f"http://{host.name}:{self.port}"

    def url(self, page: Page) -> str:
        return self.origin(page.host) + self.site.path(page)

    @property
    def search_url(self) -> str:
        return f"{self.origin(self.site.search)}/search"

    @property
    def seeds(self) -> tuple[str, ...]:
        """The front pages of the ordinary hosts; every article is linked from there."""
        return tuple(f"{self.origin(host)}/" for host in self.site.ordinary)

    @property
    def allow(self) -> tuple[str, ...]:
        """The entries of `FetchSection.guard.allow` that open these hosts, by address and by name, and nothing else."""
        return (f"127.0.0.0/24:{self.port}", f"*.{DOMAIN}:{self.port}")

    def described(self) -> dict[str, Any]:
        """The addresses, for programs that crawl and search."""
        site = self.site
        return {
            "base": self.seeds[0], "search": self.search_url, "allow": list(self.allow), "seeds": list(self.seeds),
            "sitemaps": [self.origin(host) + sitemap_path(host) for host in site.ordinary],
            "hosts": {host.name: self.origin(host) for host in site.hosts},
            "spam": f"{self.origin(site.spam)}/", "hostile": f"{self.origin(site.hostile)}/",
            "pages": self.section.pages, "seed": self.section.seed, "today": self.section.today.isoformat(),
        }  # fmt: skip

    def truth(self) -> Iterator[dict[str, Any]]:
        """What there is to know about every URL, then about every test question: see `aag_ray.world.truth`."""
        from aag_ray.world.truth import page_truth, question_truth

        yield from page_truth(self)
        yield from question_truth(self)

    async def index(self) -> PageIndex:
        """The search index, built when first needed, beside the server's own work."""
        async with self._indexing:
            if self._index is None:
                self._index = await asyncio.to_thread(PageIndex, self.site)
            return self._index

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request to any of the hosts."""
        name = (request.headers.get("Host") or "").rpartition(":")[0].lower().rstrip(".")
        site, address = self.site, request.transport.get_extra_info("sockname")[0] if request.transport else ""
        host = site.by_name.get(name.removeprefix("www.")) or site.by_address.get(name) or site.by_address[address]
        origin = self.named_origin if name.removeprefix("www.") in site.by_name else self.origin
        if name.startswith("www."):
            kind, response = "redirect", _moved(origin(host) + request.path_qs)
        else:
            kind, response = await self._respond(request, host, origin)
        if kind:
            self.asked[host.name, kind] += 1
        return response

    async def _respond(self, request: web.BaseRequest, host: Host, origin: Origin) -> tuple[str, web.StreamResponse]:
        if request.method not in ("GET", "HEAD") and host.style is not Style.SEARCH:
            return "refused", web.Response(status=405, headers={"Allow": "GET, HEAD"})
        path = request.path
        if path == "/robots.txt":
            return "robots", web.Response(text=robots(self.site, host, origin(host)))
        if host.style is Style.SEARCH:
            return "search", await self._search(request, origin)
        if trap := trap_at(host.style, path):
            self.asked[host.name, trap.kind] += 1  # at once: some answers never end
            return "", await trap.answer(request)
        if host.style is Style.HOSTILE and path == "/":
            links = "".join(f'<p><a href="{each}">{each}</a></p>' for each in trap_paths(host.style))
            return "home", web.Response(text=document(links), headers=HTML)
        if path.startswith("/sitemap"):
            body = sitemap(self.site, host, origin(host), path)
            kind = "application/gzip" if path.endswith(".gz") else "application/xml"
            return "sitemap", web.Response(body=body, content_type=kind) if body else _missing()
        if path.startswith("/go/") and host.style is Style.ARCHIVE:
            page = self.site.find(host, f"/mirror/{path.removeprefix('/go/')}")
            return "redirect", _moved(self.site.path(page)) if page else _missing()
        return self._written(host, path, origin)

    def _written(self, host: Host, path: str, origin: Origin) -> tuple[str, web.Response]:
        if page := self.site.find(host, path):
            changed = self.site.day(page).strftime("%a, %d %b %Y 08:00:00 GMT")
            return "article", _html(self.markup.page(page, origin), {"Last-Modified": changed})
        number = path.removeprefix("/list/")
        if path == "/":
            return "home", _html(self.markup.home(host, self.more(host)))
        if path.startswith("/list/") and number.isascii() and number.isdecimal() and number[0] != "0":
            try:
                return "list", _html(self.markup.listing(host, int(number)))
            except IndexError:
                return "missing", _missing()
        if path.startswith("/private/"):
            return "private", _html(self.markup.plain(host, "Staff", PRIVATE))
        if path == "/about" and host.number in self.markup.frames:
            return "about", _html(self.markup.plain(host, "About us", ABOUT))
        return "missing", _missing()

    def more(self, host: Host) -> tuple[str, ...]:
        """What else a front page links: broken and moved pages of an archive."""
        if host.style is not Style.ARCHIVE:
            return ()
        copy = self.site.path(self.site.page(host, 0))
        return (*trap_paths(host.style), copy.replace("/mirror/", "/go/"), f"{copy}?utm_source=front&utm_medium=web")

    async def _search(self, request: web.BaseRequest, origin: Origin) -> web.Response:
        if request.path != "/search" or request.method not in ("GET", "POST"):
            return web.json_response({"error": "only GET and POST of /search"}, status=404)
        asked = {**request.query, **(await request.post() if request.method == "POST" else {})}
        form = asked.get("format") or "html"
        if form not in ("json", "html"):
            return web.Response(status=403, text=f"format {str(form)[:20]} is not served; json and html are")
        try:
            found = search(await self.index(), self.section, {key: str(value) for key, value in asked.items()}, origin)
        except BadSearch as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(found) if form == "json" else web.Response(text=as_html(found), headers=HTML)

    def _bind(self, opened: ExitStack) -> list[socket.socket]:
        """One listening socket for each host, all on one port."""
        for _ in range(PORTS_TRIED):
            with ExitStack() as attempt:
                port, sockets, host = self.section.port, [], self.site.hosts[0]
                try:
                    for host in self.site.hosts:
                        each = attempt.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        each.bind((host.address, port))
                        port = each.getsockname()[1]
                        each.listen(512)
                        sockets.append(each)
                except OSError as error:
                    if error.errno == errno.EADDRINUSE and not self.section.port:
                        continue  # free on one address, taken on another
                    hint = "port=0 takes a free one" if self.section.port else "is 127.0.0.0/8 on the loopback device?"
                    raise OSError(error.errno, f"cannot listen on {host.address}:{port} ({error.strerror}); {hint}") from None
                if port in RAY_PORTS:
                    continue
                self.port = port
                opened.enter_context(attempt.pop_all())
                return sockets
        raise OSError(errno.EADDRINUSE, f"no port is free on all of {len(self.site.hosts)} loopback addresses")


def _html(rendered: Rendered, headers: dict[str, str] | None = None) -> web.Response:
    return PageResponse(body=rendered.html.encode(), headers=HTML | (headers or {}))


def _moved(location: str) -> web.Response:
    return web.Response(status=301, headers={"Location": location})


def _missing() -> web.Response:
    return web.Response(status=404, text=document("<h1>Not found</h1>"), headers=HTML)
