"""llmlingua's prompt compressor without the network, and the same one with its model calls batched over questions.

The decisions are llmlingua's own code (0.2.2, Microsoft, MIT licence): which passages stay, in which order, which tokens go.
Only what it asks the model is answered elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from llmlingua import PromptCompressor as Llmlingua
from torch import Tensor
from transformers import DynamicCache, PreTrainedTokenizerBase

from aag_ray.awaken.token_losses import Scoring
from aag_ray.llm.load import LoadedModel

REFERENCE_PARAMETERS: dict[str, Any] = {
    "condition_compare": True,
    "condition_in_question": "after",
    "rank_method": "longllmlingua",
    "use_sentence_level_filter": False,
    "context_budget": "+100",
    "dynamic_context_compression_ratio": 0.4,
    "reorder_context": "sort",
}
ITERATIVE_SIZE = 200

Ask = Callable[[list[Scoring]], list[Tensor]]
Layers = list[list[Tensor]]


class OwnTokenizer:
    """Stands where llmlingua loads OpenAI's tokenizer from the network: counts with the compressing model's own."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)


class OfflineLlmlingua(Llmlingua):
    """llmlingua as it is, one prompt at a time, on a model that is already loaded and on today's key-value caches."""

    def __init__(self, model: LoadedModel) -> None:
        # Not llmlingua's constructor: it asks the network for a tokenizer that only its printed report needs.
        self.model_name, self.use_llmlingua2 = model.name, False
        self.retrieval_model = self.retrieval_model_name = None
        self.open_api_config: dict[str, Any] = {}
        self.cache_bos_num, self.prefix_bos_num = 10, 100
        self.model, self.tokenizer, self.device = model.model, model.tokenizer, model.device
        self.oai_tokenizer = OwnTokenizer(model.tokenizer)
        self.context_idxs: list[list[int]] = []
        self.max_position_embeddings: int = model.model.config.max_position_embeddings

    def get_ppl(self, *args: Any, past_key_values: Layers | None = None, return_kv: bool = False, **options: Any) -> Any:
        cache = None if past_key_values is None else _SubscriptableCache(tuple(layer) for layer in past_key_values)
        loss, seen = super().get_ppl(*args, past_key_values=cache, return_kv=True, **options)
        return (loss, [[layer.keys, layer.values] for layer in cast(Any, seen).layers]) if return_kv else loss


class _SubscriptableCache(DynamicCache):
    """A cache of which llmlingua can read the length as `cache[0][0].shape[2]`, as caches of tuples once allowed."""

    def __getitem__(self, layer: int) -> tuple[Tensor, Tensor]:
        kept = cast(Any, self.layers[layer])
        return kept.keys, kept.values


class BatchedLlmlingua(OfflineLlmlingua):
    """llmlingua for one question, whose model calls go to `ask`: a list of texts in, their token losses out."""

    def __init__(self, model: LoadedModel, ask: Ask) -> None:
        super().__init__(model)
        self.device = torch.device("cpu")  # decisions are many tiny steps: only the scoring belongs on a GPU
        self._ask = ask
        self._noted: list[Scoring] | None = None
        self._known: Iterator[Tensor] = iter(())

    def get_rank_results(self, *args: Any, **options: Any) -> Any:
        """llmlingua scores the passages one after the other: note what it would ask, ask it at once, then let it rank."""
        self._noted = []
        super().get_rank_results(*args, **options)
        noted, self._noted = self._noted, None
        self._known = iter(self._ask(noted))
        return super().get_rank_results(*args, **options)

    def get_ppl(
        self,
        text: str,
        granularity: str = "sentence",
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Layers | None = None,
        return_kv: bool = False,
        end: int | None = None,
        condition_mode: str = "none",
        condition_pos_id: int = 0,
    ) -> Any:
        """llmlingua's `get_ppl`, answered by `ask`. Its cache is the token ids themselves, [1, 1, tokens, 1].

        What is cached is by then compressed to a few dozen tokens, so scoring it again with the others costs little and
        lets texts of all questions share a batch.
        """
        ids: list[int] = self.tokenizer(text).input_ids if input_ids is None else input_ids[0].tolist()
        past: list[int] = [] if past_key_values is None else past_key_values[0][0].flatten().tolist()
        end = min(len(ids) if end is None else end, len(past) + self.max_position_embeddings)
        ids = past + ids[len(past) : end]
        first = len(past) + (condition_pos_id if condition_mode == "after" else 0)
        losses = self._losses(Scoring(ids, first))
        if condition_mode == "before":
            losses = losses[:condition_pos_id]
        result = losses.mean() if granularity == "sentence" else losses
        seen = torch.tensor(ids).view(1, 1, -1, 1)
        return (result, [[seen, seen]]) if return_kv else result

    def _losses(self, scoring: Scoring) -> Tensor:
        if self._noted is not None:
            self._noted.append(scoring)
            return torch.zeros(1)
        known = next(self._known, None)
        return self._ask([scoring])[0] if known is None else known
