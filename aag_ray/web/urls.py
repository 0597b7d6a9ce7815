"""One spelling for every page, and URLs that can be shown to others."""

from __future__ import annotations

import re
from collections.abc import Callable

# What marks a visit, not a page. Short on purpose: on some site every other parameter chooses the page.
TRACKERS = re.compile(r"utm_\w+|gclid|gbraid|wbraid|dclid|fbclid|msclkid|yclid|mc_[ce]id|igshid", re.IGNORECASE)
# What most addresses are, and what canonical form leaves as it is: no query, nothing to quote, no path to resolve.
PLAIN = re.compile(r"(http://|https://)([a-z0-9-]+(?:\.[a-z0-9-]+)*(?::(?!(?:80|443)/)[1-9]\d{0,3})?)(/[A-Za-z0-9._~/-]*)")
DOTS = re.compile(r"/\.")
SECRETS = re.compile(
    r"(?:.*[_-])?(?:token|secret|password|passwd|pwd|signature|sig|session(?:id)?|sid|auth|authorization|credential|api_?key|"
    r"jwt|otp|code|login|email|x-amz-[\w-]+)",
    re.IGNORECASE,
)


def canonical_url(url: str) -> str:
    """One spelling of a URL: host in lower case, default port, fragment and trackers gone, query sorted, path resolved.

    Two URLs with one spelling are one page. courlan's cleaning drops more (`ref`, `source`, `keyword`), which on real
    sites are different pages, so only w3lib's canonical form is used. Raises ValueError for what is no URL.
    """
    from w3lib.url import canonicalize_url

    if (plain := PLAIN.fullmatch(url)) and not DOTS.search(url, plain.start(3)):
        return url
    scheme, separator, rest = canonicalize_url(url.strip()).partition("://")
    if not separator:
        raise ValueError(f"{url!r} is not an absolute URL")
    authority, slash, path = rest.partition("/")
    scheme = scheme.lower()
    authority = authority.removesuffix({"http": ":80", "https": ":443"}.get(scheme, ":"))
    return _filtered(f"{scheme}://{authority}{slash}{path}", lambda name: not TRACKERS.fullmatch(name))


def public_url(url: str) -> str:
    """A URL as a citation or a log may show it: no user, no fragment, no parameter that could be a key or a login."""
    shown = re.sub(r"(?<=://)[^/?#]*@", "", url.partition("#")[0])
    return _filtered(shown, lambda name: not SECRETS.fullmatch(name))


def _filtered(url: str, keep: Callable[[str], bool]) -> str:
    path, question, query = url.partition("?")
    kept = [part for part in query.split("&") if part and keep(part.partition("=")[0])]
    return path + (question + "&".join(kept) if kept else "")
