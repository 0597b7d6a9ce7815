"""The embedded default data: real facts -> passages and questions, with no network."""

from aag_ray.world.retrieval import attach_contexts, has_answer
from aag_ray.world.world import World, build_world, write_dpr

__all__ = ["World", "attach_contexts", "build_world", "has_answer", "write_dpr"]
