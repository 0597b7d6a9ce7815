"""A real local Ray for the tests of one module of this folder, shut down after the last of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray of two CPUs that this process is connected to."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, configure_logging=False)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
