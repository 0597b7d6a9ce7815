"""Who stands behind a page: one publisher, however many names it has below its domain."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from tldextract import TLDExtract


@lru_cache(maxsize=1)
def _extractor() -> TLDExtract:
    from tldextract import TLDExtract

    # The list that comes with the package: no download, no cache folder.
    return TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)


def publisher(url: str) -> str:
    """The registrable domain of a URL (`bbc.co.uk`, `alice.github.io`); the host itself where it is below no public suffix.

    An address counts with its port, which there tells servers apart.
    """
    parsed = URL(url)
    host = (parsed.raw_host or "").removesuffix(".")
    registrable = _extractor()(host).top_domain_under_public_suffix
    if registrable:
        return registrable
    return host if parsed.port in (80, 443, None) else f"{host}:{parsed.port}"
