"""LLMLingua-2: compression by a token classifier that does not see the question (Pan et al., arXiv 2403.12968)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from llmlingua import PromptCompressor as Llmlingua
from torch import Tensor
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from aag_ray.awaken.batched_llmlingua import OwnTokenizer
from aag_ray.awaken.compress import Compressor
from aag_ray.awaken.lockstep import Lockstep
from aag_ray.awaken.token_losses import TOKENS_PER_BATCH, length_buckets
from aag_ray.config import ModelSection
from aag_ray.llm.load import choose_dtype
from aag_ray.llm.resolve import resolve_model

# llmlingua decides by the model's name how words are put together from tokens; here its architecture decides.
FAMILIES = {"bert": "bert-base-multilingual-cased", "xlm-roberta": "xlm-roberta-large"}
CHUNK_TOKENS = 512


class TokenClassifierCompressor(Compressor):
    """llmlingua's LLMLingua-2 path with the chunks of many questions classified in one length-bucketed batch.

    Label 1 of the classifier means "keep". Raises ValueError for an architecture whose words llmlingua cannot put together.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        kind = model.config.model_type
        if kind not in FAMILIES:
            raise ValueError(f"LLMLingua-2 knows the architectures {', '.join(FAMILIES)}; this model is a {kind!r}")
        self._model = model.eval().requires_grad_(False)
        super().__init__(tokenizer, Lockstep(self._classify))

    @classmethod
    def load(cls, section: ModelSection) -> TokenClassifierCompressor:
        """Resolve and load a token classifier. Raises ModelNotFound, or ValueError if the name leads to another kind."""
        path = resolve_model(section.name)
        kinds = AutoConfig.from_pretrained(path).architectures or []
        if not any(kind.endswith("ForTokenClassification") for kind in kinds):
            raise ValueError(
                f"compress.method=llmlingua2 needs a token classifier; "
                f"compress.model.name={section.name!r} is {', '.join(kinds)}"
            )
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = choose_dtype(section.dtype, device)
        model = AutoModelForTokenClassification.from_pretrained(path, dtype=dtype, use_safetensors=True)
        return cls(model.to(device), AutoTokenizer.from_pretrained(path))

    def _text(self, question: str, passages: list[str], target_tokens: int) -> str:
        llmlingua = BatchedLlmlingua2(self._model.config, self._tokenizer, self._lockstep)
        return llmlingua.compress_prompt(passages, target_token=target_tokens)["compressed_prompt"]

    @torch.no_grad()
    def _classify(self, asked: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Chunks padded to a common length and their masks in; logits [chunks, that length, 2] out, zero on padding."""
        ids = [row[mask] for chunks, masks in asked for row, mask in zip(chunks, masks, strict=True)]
        logits: list[Tensor] = [torch.empty(0)] * len(ids)
        budget = TOKENS_PER_BATCH["cpu" if self._model.device.type == "cpu" else "cuda"]
        for bucket in length_buckets([len(row) for row in ids], budget):
            padded = torch.nn.utils.rnn.pad_sequence([ids[index] for index in bucket], batch_first=True, padding_value=0)
            lengths = torch.tensor([len(ids[index]) for index in bucket])
            mask = torch.arange(padded.shape[1])[None, :] < lengths[:, None]
            found = self._model(input_ids=padded.to(self._model.device), attention_mask=mask.to(self._model.device)).logits
            for index, values in zip(bucket, found.float().cpu(), strict=True):
                logits[index] = values[: len(ids[index])]
        left = iter(logits)
        return [torch.stack([_lengthened(next(left), chunks.shape[1]) for _ in chunks]) for chunks, _ in asked]


def _lengthened(logits: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(logits, (0, 0, 0, length - logits.shape[0]))


class BatchedLlmlingua2(Llmlingua):
    """llmlingua in its second mode for one question; its classifier is the lockstep that all questions share."""

    def __init__(self, config: Any, tokenizer: PreTrainedTokenizerBase, lockstep: Lockstep[Any, Tensor]) -> None:
        # Not llmlingua's constructor: it asks the network for OpenAI's tokenizer, by which it weighs words by their
        # length in tokens, and adds tokens that only its unused `force_tokens` needs. The model's own tokenizer weighs here.
        self.use_llmlingua2 = True
        self.model_name = FAMILIES[config.model_type]
        self.tokenizer, self.device = tokenizer, torch.device("cpu")
        self.oai_tokenizer = OwnTokenizer(tokenizer)
        self.max_batch_size, self.max_seq_len = 50, min(CHUNK_TOKENS, config.max_position_embeddings)
        self.max_force_token, self.added_tokens = 0, []
        self.special_tokens = set(tokenizer.all_special_tokens)
        self.model = lambda input_ids, attention_mask: SimpleNamespace(
            loss=None, logits=lockstep.ask((input_ids, attention_mask))
        )
