"""Whose certificates are believed: the system's authorities, and an intranet's own where it is named."""

from __future__ import annotations

import ssl
from pathlib import Path

from aag_ray.settings import ConfigError


def trusting(ca_bundle: Path) -> ssl.SSLContext:
    """The default context, which checks chain, dates and host name, with the certificates of a PEM file trusted as well.

    Raises ConfigError if the file cannot be read or holds none.
    """
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=ca_bundle)
    except OSError as error:  # ssl.SSLError is one
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"fetch.ca_bundle={str(ca_bundle)!r} is no file of PEM certificates: {reason}") from None
    return context
