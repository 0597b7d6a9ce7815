"""A real local Ray for the tests of this folder, started once and shut down after the last of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package")
def cluster() -> Iterator[str]:
    """The address of a Ray of two CPUs that this process is connected to."""
    import ray

    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # a busy machine is slow, not broken
    context = ray.init(
        address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, configure_logging=False
    )
    yield context.address_info["address"]
    ray.shutdown()
