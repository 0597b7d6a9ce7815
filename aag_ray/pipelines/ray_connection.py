"""Ray for a job: the cluster it was submitted to, or one of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aag_ray.settings import ConfigError


@contextmanager
def connected() -> Iterator[None]:
    """Ray for this block: the cluster of the job or of RAY_ADDRESS if there is one, else a local one that ends with it."""
    import ray

    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"address": address} if address else {"address": "local", "include_dashboard": False}
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong in a stage is said by the stage
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except ConnectionError as error:
        raise ConfigError(f"no Ray cluster at RAY_ADDRESS={address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()
