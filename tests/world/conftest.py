"""One default world for all tests of this folder: it is built from the real packaged tables."""

from __future__ import annotations

import pytest

from aag_ray.config import WorldSection
from aag_ray.world import World, build_world

SEED = 29


@pytest.fixture(scope="session")
def world() -> World:
    return build_world(WorldSection(), SEED)
