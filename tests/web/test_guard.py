"""The guard: nothing of this machine, its network or a cloud's metadata is asked, however it is written."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from yarl import URL

from aag_ray.config import RAY_PORTS, GuardSection
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import FetchOutcome, FetchStopped
from aag_ray.web.guard import Guard, GuardedResolver, carried, is_public, literal_address

REFUSED = {
    FetchOutcome.ADDRESS_REFUSED: [
        "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://0x7f000001/", "http://0177.0.0.1/",
        "http://017700000001/", "http://127.0.0.1./", "http://127.0.0.01/", "http://1.2.3.4.5/", "http://0/", "http://0.0.0.0/",
        "http://0.1.2.3/", "http://10.0.0.1/", "http://10.255.255.255/", "http://172.16.0.1/", "http://172.31.255.255/",
        "http://192.168.0.1/", "http://192.168.255.255/", "http://100.64.0.1/", "http://100.127.255.254/",
        "http://100.100.100.200/", "http://169.254.169.254/latest/meta-data/", "http://168.63.129.16/", "http://192.0.0.192/",
        "http://192.88.99.1/", "http://224.0.0.1/", "http://239.255.255.250/", "http://240.0.0.1/", "http://255.255.255.255/",
        "http://192.0.2.1/", "http://198.51.100.1/", "http://203.0.113.1/", "http://198.18.0.1/", "http://198.19.255.255/",
        "http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/",
        "http://[fc00::1]/", "http://[fd12:3456::1]/", "http://[fd00:ec2::254]/", "http://[fec0::1]/", "http://[ff02::1]/",
        "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::ffff:169.254.169.254]/", "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::808:808]/", "http://[2002:7f00:1::]/",
        "http://[2002:808:808::1]/", "http://[2001::1]/", "http://[2001:db8::1]/", "http://[3fff::1]/", "http://[5f00::1]/",
        "http://[100::1]/", "http://[4000::1]/", "http://localhost/", "http://localhost./", "http://LOCALHOST/",
        "http://x.localhost/", "http://metadata.google.internal/", "http://printer.local/", "http://router.home.arpa/",
        "http://%31%32%37.0.0.1/", "http://\uff11\uff12\uff17.0.0.1/", "http://127。0。0。1/", "http://ⓛocalhost/", "http://127.0.0.1#@good.example/",
        "http://127.0.0.1?@good.example/", "https://127.0.0.1/", "HTTP://127.0.0.1/",
    ],
    FetchOutcome.USERINFO_REFUSED: [
        "http://a@127.0.0.1/", "http://a:b@good.example/", "http://@good.example/", "http://:@good.example/",
        "http://good.example:80@127.0.0.1/",
    ],
    FetchOutcome.SCHEME_REFUSED: [
        "file:///etc/passwd", "ftp://good.example/", "gopher://good.example:70/_x", "data:text/html,x", "javascript:alert(1)",
        "dict://good.example/", "ws://good.example/", "//good.example/", "good.example", "", "about:blank", "ht\ttp://x/",
    ],
    FetchOutcome.BAD_URL: [
        "http://good\\@127.0.0.1/", "http:///127.0.0.1/", "http:127.0.0.1", "http:/127.0.0.1", "http://", "http://a b.example/",
        "http://good.example:99999/", "http://good.example:0/", "http://good.example:x/", "http://[::1", "http://a..b/",
        "http://x\ty.example/", "http://x\ny.example/", "http://x\0.example/", "http://-/",
        f"http://{'a' * 64}.example/", f"http://{'a.' * 150}example/", f"http://good.example/{'a' * 5000}",
    ],
    FetchOutcome.PORT_REFUSED: [
        "http://good.example:22/", "http://good.example:25/", "http://good.example:6379/", "http://good.example:8265/",
        "http://good.example:10001/", "http://good.example:8000/", "http://good.example:52365/", "http://8.8.8.8:22/",
        "http://8.8.8.8:6379/", "http://good.example:81/", "http://[2606:4700::1111]:6379/",
    ],
}  # fmt: skip
ALLOWED = (
    "http://good.example/", "https://good.example/a?b=c#d", "http://good.example:8080/", "https://good.example:8443/",
    "http://172.15.255.255/", "http://172.32.0.0/", "http://8.8.8.8/", "http://9.255.255.255/", "http://11.0.0.0/",
    "http://100.63.255.255/", "http://100.128.0.0/", "http://192.167.255.255/", "http://192.169.0.0/", "http://126.255.255.255/",
    "http://128.0.0.1/", "http://169.253.0.1/", "http://223.255.255.255/", "http://[2606:4700::1111]/",
    "http://[64:ff9b::808:808]/", "http://[::ffff:8.8.8.8]/", "http://bücher.example/", "http://a_b.example/",
    "http://good.example./", "http://3com.example/", "  http://good.example/  ", "http://good.example/a@b", "http://localhost.example/",
)  # fmt: skip
CASES = [(url, outcome) for outcome, urls in REFUSED.items() for url in urls]


@pytest.mark.parametrize(("url", "outcome"), CASES, ids=[ascii(url)[:60] for url, _ in CASES])
def test_what_is_closed_is_refused_with_its_reason(url: str, outcome: FetchOutcome):
    with pytest.raises(FetchStopped) as refusal:
        Guard(GuardSection()).check(url)
    assert refusal.value.outcome is outcome
    assert refusal.value.detail


@pytest.mark.parametrize("url", ALLOWED, ids=ascii)
def test_the_public_web_is_open(url: str):
    checked = Guard(GuardSection()).check(url)
    assert checked.scheme in ("http", "https")
    assert checked.fragment == ""
    assert Guard(GuardSection()).check(checked) == checked


@given(st.integers(0, 2**32 - 1))
def test_an_address_carried_in_ipv6_is_judged_as_itself(number: int):
    address = ipaddress.IPv4Address(number)
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        inside = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number)
        assert carried(inside) == address
        assert is_public(inside) == is_public(address)
    assert not is_public(ipaddress.IPv6Address((0x2002 << 112) | (number << 80)))  # 6to4
    assert not is_public(address) or address.is_global


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "{:#x}", "0{:o}"]))
def test_no_other_notation_of_an_address_is_read(number: int, form: str):
    with pytest.raises(FetchStopped):
        Guard(GuardSection()).check(f"http://{form.format(number)}/")


@given(st.text(max_size=60))
def test_any_text_is_allowed_or_refused_and_nothing_else(text: str):
    guard = Guard(GuardSection())
    for url in (text, f"http://{text}", f"https://{text}/"):
        try:
            checked = guard.check(url)
        except FetchStopped:
            continue
        address = literal_address(checked.raw_host or "")
        assert address is None or is_public(address)
        assert checked.raw_user is None


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["10.1.2.3"], ["8.8.8.8", "10.0.0.1"], ["8.8.8.8", "::1"], ["fd00:ec2::254"], ["169.254.169.254"],
     ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["fe80::1%2"], ["0.0.0.0"]],
    ids=str,
)  # fmt: skip
@pytest.mark.asyncio
async def test_a_name_with_any_private_answer_is_refused(names, answers: list[str]):
    names.says("evil.example", answers)
    with pytest.raises(FetchStopped, match=r"evil\.example") as refusal:
        await GuardedResolver(Guard(GuardSection()), names).resolve("evil.example", 80)
    assert refusal.value.outcome is FetchOutcome.ADDRESS_REFUSED


@pytest.mark.asyncio
async def test_a_name_gets_exactly_the_addresses_that_were_checked(names):
    names.says("good.example", ["8.8.8.8", "2606:4700::1111"])
    answers = await GuardedResolver(Guard(GuardSection()), names).resolve("good.example", 443)
    assert [answer["host"] for answer in answers] == ["8.8.8.8", "2606:4700::1111"]
    assert names.calls == ["good.example"]


class TestAllowList:
    def test_a_network_opens_its_addresses_on_its_ports_only(self):
        guard = Guard(GuardSection(allow=("127.0.0.0/8:8081,8082", "[::1]:8081")))
        for url in ("http://127.0.0.1:8081/", "http://127.9.9.9:8082/", "http://[::1]:8081/"):
            assert guard.check(url)
        for url in (
            "http://127.0.0.1/",
            "http://127.0.0.1:8083/",
            "http://[::1]:8082/",
            "http://10.0.0.1:8081/",
            "http://127.1:8081/",
        ):
            with pytest.raises(FetchStopped):
                guard.check(url)

    @pytest.mark.asyncio
    async def test_a_name_opens_private_answers_for_itself_alone(self, names):
        guard = Guard(GuardSection(allow=("wiki.corp:8081", "*.site.test:8081")))
        resolver = GuardedResolver(guard, names)
        names.default = ["10.0.0.7"]
        for name in ("wiki.corp", "a.site.test", "b.a.site.test"):
            assert guard.check(f"http://{name}:8081/")
            assert await resolver.resolve(name, 8081)
        for name, port in (("site.test", 8081), ("xsite.test", 8081), ("other.corp", 8081), ("wiki.corp", 80)):
            with pytest.raises(FetchStopped):
                await resolver.resolve(name, port)

    @pytest.mark.asyncio
    async def test_no_name_opens_the_metadata_service(self, names):
        names.says("wiki.corp", ["169.254.169.254"])
        with pytest.raises(FetchStopped):
            await GuardedResolver(Guard(GuardSection(allow=("wiki.corp:8081",))), names).resolve("wiki.corp", 8081)

    @pytest.mark.parametrize("port", [6379, 8265, 10001, 15000])
    def test_rays_own_ports_cannot_be_opened(self, port: int):
        assert port in RAY_PORTS
        with pytest.raises(ValidationError, match="Ray's own ports"):
            GuardSection(allow=(f"127.0.0.1:{port}",))
        with pytest.raises(ValidationError, match="Ray's own ports"):
            GuardSection(ports=(80, port))

    @pytest.mark.parametrize(
        "entry", ["127.0.0.1", "127.0.0.1:", ":80", "x:0", "x:70000", "x:80,", "*:80", "http://x:80", "UPPER:80"]
    )
    def test_an_entry_that_is_none_is_named(self, entry: str):
        with pytest.raises(ValidationError, match=r"HOST:PORT|neither"):
            GuardSection(allow=(entry,))


class TestOverHttp:
    @pytest.mark.asyncio
    async def test_a_name_that_changes_its_answer_is_refused_when_it_does(self, site, names, configure):
        site.says("/", b"<p>fine")
        names.says("rebind.example", ["127.0.0.1"], ["10.0.0.1"])
        config = configure(site)
        async with Fetcher(config, resolver=names) as fetcher:
            assert (await fetcher.fetch(site.url("/", "rebind.example"))).ok
        async with Fetcher(config, resolver=names) as fetcher:
            second = await fetcher.fetch(site.url("/", "rebind.example"))
        assert second.outcome is FetchOutcome.ADDRESS_REFUSED
        assert len(site.seen) == 1

    @pytest.mark.asyncio
    async def test_a_name_is_resolved_once_for_check_and_connection(self, site, names, configure):
        site.says("/", b"<p>fine")
        names.says("rebind.example", ["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"])
        async with Fetcher(configure(site), resolver=names) as fetcher:
            assert (await fetcher.fetch(site.url("/", "rebind.example"))).ok
        assert names.calls == ["rebind.example"]

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        "target", ["http://10.0.0.1/", "http://169.254.169.254/latest/", "http://[::1]/", "http://127.0.0.1:6379/", "//0x7f.1/"]
    )
    @pytest.mark.asyncio
    async def test_a_redirect_into_private_space_is_refused(self, site, configure, status: int, target: str):
        url = site.redirects("/", target, status)
        async with Fetcher(configure(site)) as fetcher:
            fetched = await fetcher.fetch(url)
        assert fetched.outcome in (FetchOutcome.ADDRESS_REFUSED, FetchOutcome.PORT_REFUSED)
        assert fetched.hops == (url,)
        assert fetched.detail.startswith(f"redirected by {url}")

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "javascript:alert(1)", "data:text/html,x", "http://a@127.0.0.1/"])
    @pytest.mark.asyncio
    async def test_a_redirect_to_another_scheme_or_user_is_refused(self, site, configure, target: str):
        async with Fetcher(configure(site)) as fetcher:
            fetched = await fetcher.fetch(site.redirects("/", target))
        assert fetched.outcome in (FetchOutcome.SCHEME_REFUSED, FetchOutcome.USERINFO_REFUSED)

    @pytest.mark.asyncio
    async def test_a_redirect_to_a_name_with_a_private_address_is_refused(self, site, names, configure):
        names.says("inside.example", ["192.168.0.1"])
        async with Fetcher(configure(site), resolver=names) as fetcher:
            fetched = await fetcher.fetch(site.redirects("/", "http://inside.example/"))
        assert fetched.outcome is FetchOutcome.ADDRESS_REFUSED
        assert "192.168.0.1" in fetched.detail

    @pytest.mark.asyncio
    async def test_robots_and_sitemaps_stand_under_the_same_guard(self, site, names, configure):
        names.says("www.example", ["127.0.0.1"])
        names.says("inside.example", ["10.0.0.1"])
        site.redirects("/robots.txt", "http://10.0.0.1/robots.txt")
        async with Fetcher(configure(site, politeness={"robots": True}), resolver=names) as fetcher:
            page = await fetcher.fetch(site.url("/", "www.example"))
            sitemap = await fetcher.fetch("http://inside.example/sitemap.xml", content_types=("application/xml",))
        assert page.outcome is FetchOutcome.ROBOTS_UNREACHABLE
        assert "10.0.0.1" in page.detail
        assert sitemap.outcome is FetchOutcome.ADDRESS_REFUSED
        assert site.paths() == ["/robots.txt"]

    @pytest.mark.asyncio
    async def test_a_meta_refresh_is_not_followed(self, site, configure):
        url = site.says("/", b'<meta http-equiv="refresh" content="0;url=http://169.254.169.254/">')
        async with Fetcher(configure(site)) as fetcher:
            fetched = await fetcher.fetch(url)
        assert fetched.ok
        assert fetched.hops == (url,)

    @pytest.mark.asyncio
    async def test_a_proxy_in_the_environment_is_not_used(self, site, configure, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
        async with Fetcher(configure(site)) as fetcher:
            assert (await fetcher.fetch(site.says("/", b"x"))).ok


def test_what_is_checked_is_what_is_asked():
    assert Guard(GuardSection()).check("http://GOOD.example:80/a/../b?c=d e#f") == URL("http://good.example/b?c=d e")
