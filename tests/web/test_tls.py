"""HTTPS is believed only with a whole chain to a trusted authority, in its dates, and for the host that was asked."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from aag_ray.config import FetchSection
from aag_ray.settings import ConfigError
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import Fetched, FetchOutcome
from aag_ray.web.tls import trusting

HOST = "intranet.example"
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


@asynccontextmanager
async def serving(certify: Callable[[ssl.SSLContext], None], opened: socket.socket) -> AsyncIterator[int]:
    """A TLS server."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<p>in.")
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certify(context)
    server = await asyncio.start_server(answer, sock=opened, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def asked(
    certify: Callable[[ssl.SSLContext], None], opened: socket.socket, names, configure, bundle: Path | None, host: str = HOST
) -> Fetched:
    names.default = ["127.0.0.1"]
    async with serving(certify, opened) as port:
        config: FetchSection = configure(guard={"allow": [f"127.0.0.0/8:{port}"]}, ca_bundle=bundle)
        async with Fetcher(config, resolver=names) as fetcher:
            return await fetcher.fetch(f"https://{host}:{port}/")


@pytest.mark.asyncio
async def test_a_chain_to_the_named_authority_is_believed(authority, bundle, bound, names, configure):
    leaf = authority.create_child_ca().issue_cert(HOST)
    assert len(leaf.cert_chain_pems) == 2
    fetched = await asked(leaf.configure_cert, bound(), names, configure, bundle)
    assert (fetched.outcome, fetched.body) == (FetchOutcome.OK, b"<p>in.")


@pytest.mark.asyncio
async def test_the_same_chain_is_refused_where_no_authority_is_named(authority, bound, names, configure):
    fetched = await asked(authority.create_child_ca().issue_cert(HOST).configure_cert, bound(), names, configure, None)
    assert (fetched.outcome, fetched.body) == (FetchOutcome.TLS_FAILED, b"")


def without_intermediate(authority: trustme.CA) -> Callable[[ssl.SSLContext], None]:
    leaf = authority.create_child_ca().issue_cert(HOST)

    def certify(context: ssl.SSLContext) -> None:
        with leaf.private_key_pem.tempfile() as key, leaf.cert_chain_pems[0].tempfile() as certificate:
            context.load_cert_chain(certificate, key)

    return certify


def self_signed(_: trustme.CA) -> Callable[[ssl.SSLContext], None]:
    alone = trustme.CA()

    def certify(context: ssl.SSLContext) -> None:
        with alone.private_key_pem.tempfile() as key, alone.cert_pem.tempfile() as certificate:
            context.load_cert_chain(certificate, key)

    return certify


REFUSED = {
    "another host": (lambda ca: ca.issue_cert("other.example").configure_cert, "Hostname mismatch"),
    "a host below the wildcard's": (lambda ca: ca.issue_cert("*.intranet.example").configure_cert, "Hostname mismatch"),
    "expired": (
        lambda ca: ca.issue_cert(HOST, not_before=YESTERDAY - timedelta(days=9), not_after=YESTERDAY).configure_cert,
        "expired",
    ),
    "not valid yet": (lambda ca: ca.issue_cert(HOST, not_before=YESTERDAY + timedelta(days=9)).configure_cert, "not yet valid"),
    "self-signed": (self_signed, "self-signed"),
    "another authority": (lambda _: trustme.CA().issue_cert(HOST).configure_cert, "unable to get local issuer"),
    "a chain with a gap": (without_intermediate, "unable to get local issuer"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize(("certificate", "reason"), REFUSED.values(), ids=REFUSED)
async def test_any_other_certificate_is_refused_with_its_reason(
    certificate, reason, authority, bundle, bound, names, configure
):
    fetched = await asked(certificate(authority), bound(), names, configure, bundle)
    assert (fetched.outcome, fetched.body) == (FetchOutcome.TLS_FAILED, b"")
    assert reason in fetched.detail
    assert HOST in fetched.detail


def test_the_system_s_authorities_stay_trusted_beside_the_named_one(bundle: Path):
    context = trusting(bundle)
    assert context.cert_store_stats()["x509_ca"] == ssl.create_default_context().cert_store_stats()["x509_ca"] + 1
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_bundle_that_is_none_is_told_by_name(content: bytes | None, tmp_path: Path):
    file = tmp_path / "bundle.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"fetch\.ca_bundle=.*bundle\.pem"):
        trusting(file)
