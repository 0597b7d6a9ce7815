"""This program's log lines in Serve's log: JSON where that is configured, each with the id of the request it belongs to."""

from __future__ import annotations

import logging


def log_with_serve() -> None:
    """Give the lines of `aag_ray` to Serve's logger, at its level. For a replica; Serve sets only its own logger up.

    Serve's handlers add the request id, which it carries from deployment to deployment and into threads.
    """
    own = logging.getLogger("aag_ray")
    own.parent = logging.getLogger("ray.serve")
    own.setLevel(logging.NOTSET)  # asks the parent, and forgets what was decided before
