"""Adapters on their way into vLLM and out of it: roles stay, a prompt's own adapter is freed with the prompt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aag_ray.config import VllmSection
from aag_ray.llm.adapter_folders import AdapterFolders, SavedAdapter
from aag_ray.llm.adapters import Adapter, AdapterError
from aag_ray.llm.load import LoadedModel


class VllmAdapters:
    """Up to `section.roles` roles, and any number of others in turn. Used in the event loop of vLLM only."""

    def __init__(self, loaded: LoadedModel, section: VllmSection) -> None:
        self.section = section
        self.folders = AdapterFolders(section.adapters, loaded, section.rank)
        self._roles: dict[tuple[int, ...], tuple[SavedAdapter, Sequence[Adapter]]] = {}

    @asynccontextmanager
    async def given(self, vllm: Any, own: Adapter | None, shared: tuple[Adapter, ...]) -> AsyncIterator[Any]:
        """What `vllm` is to apply to one prompt: nothing, roles, or roles joined with a prompt's own adapter.

        Raises AdapterError for an adapter that does not fit and for one role too many.
        """
        if own is None:
            yield await _loaded(vllm, self._role(shared)) if shared else None
            return
        saved = self.folders.save([*shared, own])
        try:
            yield await _loaded(vllm, saved)
        finally:
            await asyncio.shield(self._free(vllm, saved))

    def close(self) -> None:
        self.folders.close()

    def _role(self, shared: tuple[Adapter, ...]) -> SavedAdapter:
        key = tuple(map(id, shared))
        if key not in self._roles:
            if len(self._roles) >= self.section.roles:
                raise AdapterError(f"{len(self._roles) + 1} roles, but decoding.vllm.roles={self.section.roles}")
            # the adapters are kept with their folder: their ids must not come to mean others
            self._roles[key] = self.folders.save(shared), shared
        return self._roles[key][0]

    async def _free(self, vllm: Any, saved: SavedAdapter) -> None:
        try:
            await vllm.remove_lora(saved.number)
        finally:
            self.folders.free(saved)


async def _loaded(vllm: Any, saved: SavedAdapter) -> Any:
    """vLLM's request for it. It is loaded first: a load that fails between two steps would end vLLM."""
    from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]

    request = LoRARequest(str(saved.folder), saved.number, str(saved.folder))
    await vllm.add_lora(request)
    return request
