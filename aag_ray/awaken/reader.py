"""The reader with its hypernetwork, and what both are trained on: answers, and a teacher that sees retrieved passages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from aag_ray.awaken import losses
from aag_ray.awaken.conditions import Condition
from aag_ray.awaken.hypernetwork import Hypernetwork
from aag_ray.config import DistillSection
from aag_ray.llm.adapters import Adapter, StaticLora, applied, bare, compose, rows_of, stack
from aag_ray.llm.batches import TargetBatch, encode_pair, nll, target_batch, target_logits
from aag_ray.llm.engine import length_batches, pad
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.low_rank import of_rank
from aag_ray.llm.objective import Example, Objective
from aag_ray.llm.sft import save_lora


def read_conditions(loaded: LoadedModel, hypernetwork: Hypernetwork, texts: Sequence[str], longest: int = 2048) -> Condition:
    """The base model's view of the texts an adapter is to be made from; texts beyond `longest` tokens lose their front."""
    tokenizer: Any = loaded.tokenizer
    encoded = [tokenizer(text)["input_ids"][-longest:] for text in texts]
    ids, mask = pad(encoded, tokenizer.pad_token_id, left=False, device=loaded.device)
    with bare(loaded.model):
        return hypernetwork.condition(loaded.model, ids, mask)


@torch.no_grad()
def make_adapters(loaded: LoadedModel, hypernetwork: Hypernetwork, texts: Sequence[str], batch: int = 32) -> Adapter:
    """One adapter per condition text, made once, in batches of similar length, of at most the hypernetwork's `rank`.

    Raises ValueError for no text at all.
    """
    if not texts:
        raise ValueError("adapters are made from at least one text")
    tokenizer: Any = loaded.tokenizer
    parts: list[Adapter] = []
    order: list[int] = []
    for rows in length_batches([len(tokenizer(text)["input_ids"]) for text in texts], batch):
        made = hypernetwork(read_conditions(loaded, hypernetwork, [texts[row] for row in rows]))
        parts.append(of_rank(made, hypernetwork.section.rank))
        order.extend(rows)
    back = sorted(range(len(order)), key=order.__getitem__)
    return stack(parts).select(back)


class ReaderObjective(Objective):
    """alpha * KD + (1 - alpha) * NLL over a mixture of modes (AAG, eq. 5), with optional alignment terms (eq. 6-9).

    An example has `id`, `prompt`, `target`; with `condition` its prompt is read with the adapter made from that text;
    with `teacher_prompt` the frozen teacher, reading that prompt, is distilled from. `also` are further pairs of `prompt` and
    `target` that are read with the same adapter, which is made once. `beside` says with how many adapters of the batch's other
    texts it is joined, so that documents learn to stand side by side. The reader's LoRA is on in every row.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        lora: StaticLora | None,
        hypernetwork: Hypernetwork | None,
        distill: DistillSection,
        teacher: StaticLora | None = None,
        longest: int = 2048,
        *,
        shard_base: bool = False,
    ) -> None:
        super().__init__()
        self.lora, self.hypernetwork, self.distill, self.longest = lora, hypernetwork, distill, longest
        self._held = (loaded, teacher)
        self.sharded = shard_base
        if shard_base:
            self.base: Any = loaded.model
        if distill.attention_weight > 0:  # fused attention does not give its maps
            loaded.model.set_attn_implementation("eager")
        for part in (lora, hypernetwork, teacher):
            if isinstance(part, nn.Module):
                part.to(loaded.device)

    @property
    def loaded(self) -> LoadedModel:
        return self._held[0]

    def length(self, example: Example) -> int:
        tokenizer = self.loaded.tokenizer
        return sum(
            len(part) for row in _rows(example) for part in encode_pair(tokenizer, row["prompt"], row["target"], self.longest)
        )

    def adapters(self, examples: Sequence[Example]) -> list[Adapter]:
        """The shared LoRA, and an adapter for every example: the hypernetwork's where there is a condition, zero elsewhere."""
        given = [self.lora()] if self.lora is not None else []
        rows = [number for number, example in enumerate(examples) if example.get("condition")]
        if self.hypernetwork is None or not rows:
            return [*given, *self._unused(examples)]
        texts = [examples[row]["condition"] for row in rows]
        different = list(dict.fromkeys(texts))
        own: Adapter = self.hypernetwork(read_conditions(self.loaded, self.hypernetwork, different, self.longest))
        places, beside = [different.index(text) for text in texts], [examples[row].get("beside", 0) for row in rows]
        if any(beside) or len(different) < len(texts):
            own = _joined(own, places, beside)
        if len(rows) < len(examples):
            index = torch.tensor(rows, device=self.loaded.device)
            own = own.map(lambda t: t.new_zeros(len(examples), *t.shape[1:]).index_copy(0, index, t))
        return [*given, own]

    def _unused(self, examples: Sequence[Example]) -> list[Adapter]:
        """An adapter of zeros that the hypernetwork nevertheless made, so that training it gives it a gradient, of zeros, and
        calls a base model that lies in parts as other workers do."""
        if self.hypernetwork is None or not (self.sharded or torch.is_grad_enabled()):
            return []
        any_text = read_conditions(self.loaded, self.hypernetwork, [examples[0]["prompt"]], self.longest)
        return [self.hypernetwork(any_text).map(lambda t: t * 0)]

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        batch, logits, output = self._student(examples)
        examples = [row for example in examples for row in _rows(example)]
        rows = nll(logits, batch.label, batch.row, len(examples))
        terms = {"nll": rows.mean()}
        taught = [n for n, e in enumerate(examples) if e.get("teacher_prompt")]
        if self._held[1] is not None and self.distill.asks_teacher:
            if taught:
                terms |= self._teacher_terms(examples, taught, batch, logits, output, rows)
            elif self.sharded:  # for the weights' sake: other workers' rows may have a teacher
                self._teach(examples[:1])
        terms["loss"] = terms.pop("combined", terms["nll"]) + sum(
            weight * terms[name]
            for name, weight in (("hidden", self.distill.hidden_weight), ("attention", self.distill.attention_weight))
            if name in terms
        )
        return terms

    def _options(self) -> dict[str, bool]:
        return {"output_hidden_states": self.distill.hidden_weight > 0, "output_attentions": self.distill.attention_weight > 0}

    def _student(self, examples: Sequence[Example]) -> tuple[TargetBatch, Tensor, Any]:
        """Targets, logits and output of every row; the rows of one example follow each other."""
        model, counts = self.loaded.model, [len(_rows(example)) for example in examples]
        rows = [row for example in examples for row in _rows(example)]
        batch = target_batch(self.loaded, [r["prompt"] for r in rows], [r["target"] for r in rows], self.longest)
        owners = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(self.loaded.device)
        uneven = len(set(counts)) > 1
        with applied(model, *self.adapters(examples)), rows_of(model, owners, len(counts)) if uneven else nullcontext():
            logits, output = target_logits(model, batch, **self._options())
        return batch, logits, output

    def _teacher_terms(
        self, examples: Sequence[Example], taught: list[int], batch: TargetBatch, logits: Tensor, output: Any, rows: Tensor
    ) -> dict[str, Tensor]:
        """KD and alignment of the rows that have a teacher. Both models predict the same target tokens, in the same order."""
        loaded = self.loaded
        read, teacher_logits, teacher_output = self._teach([examples[row] for row in taught])
        mine = torch.isin(batch.row, torch.tensor(taught, device=batch.row.device))
        terms: dict[str, Tensor] = {}
        if self.distill.kd:
            settings = self.distill
            tau = losses.kd_temperature(self.step, settings.temperature, settings.temperature_every)
            kd = losses.kd(logits[mine], teacher_logits, read.row, len(taught), tau)
            combined = rows.clone()
            index = torch.tensor(taught, device=rows.device)
            combined = combined.index_copy(0, index, settings.alpha * kd + (1 - settings.alpha) * rows[index])
            terms |= {"kd": kd.mean(), "combined": combined.mean()}
        layers = losses.chosen_layers(loaded.model.config.num_hidden_layers, self.distill.layers)
        if self.distill.hidden_weight > 0:
            place = (batch.row[mine], batch.position[mine])
            student_states = [output.hidden_states[layer + 1][place] for layer in layers]
            teacher_states = [teacher_output.hidden_states[layer + 1][read.row, read.position] for layer in layers]
            terms["hidden"] = losses.hidden_alignment(student_states, teacher_states)
        if self.distill.attention_weight > 0:
            pairs = [_shared_attention(output, batch, row, teacher_output, read, n, layers) for n, row in enumerate(taught)]
            terms["attention"] = torch.stack([losses.attention_alignment(s, t) for s, t in pairs]).mean()
        return terms

    @torch.no_grad()
    def _teach(self, asked: Sequence[Example]) -> tuple[TargetBatch, Tensor, Any]:
        loaded, teacher = self._held
        prompts = [example.get("teacher_prompt") or example["prompt"] for example in asked]
        batch = target_batch(loaded, prompts, [example["target"] for example in asked], self.longest)
        with applied(loaded.model, teacher() if teacher is not None else None):
            logits, output = target_logits(loaded.model, batch, **self._options())
        return batch, logits, output

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[float]:
        """Minus the mean cross-entropy of each example's targets, read in its mode."""
        rows = [_rows(example) for example in examples]
        batch, logits, _ = self._student(examples)
        each = iter((-nll(logits, batch.label, batch.row, sum(map(len, rows)))).tolist())
        return [fmean(next(each) for _ in part) for part in rows]

    def save_pretrained(self, folder: Path) -> None:
        """`reader/` holds the LoRA and `hypernetwork/` all of the hypernetwork."""
        if self.lora is not None:
            save_lora(self.lora, folder / "reader")
        if self.hypernetwork is not None:
            self.hypernetwork.save_pretrained(folder / "hypernetwork")


def _joined(made: Adapter, places: Sequence[int], beside: Sequence[int]) -> Adapter:
    """For each row the adapter at its place, joined with the `beside` adapters after it; in the end, those from the front."""
    most = min(max(beside), made.examples - 1)
    parts = [made.select(places)]
    for number in range(1, most + 1):
        part = made.select([(place + number) % made.examples for place in places])
        wanted = torch.tensor([number <= count for count in beside], device=next(iter(part.factors.values()))[0].device)
        parts.append(part.map(lambda t, wanted=wanted: t * wanted[:, None, None]))
    return compose(parts)


def _rows(example: Example) -> list[Example]:
    """The example, and one more for each further pair that shares its adapter."""
    return [example, *({**example, **pair, "also": ()} for pair in example.get("also") or ())]


def _shared_attention(
    student: Any, batch: TargetBatch, row: int, teacher: Any, read: TargetBatch, teacher_row: int, layers: Sequence[int]
) -> tuple[list[Tensor], list[Tensor]]:
    """Attention of one example's target tokens to the tokens at which both prompts end alike, each (heads, m, shared)."""
    mine, theirs = batch.ids[row][batch.mask[row].bool()], read.ids[teacher_row][read.mask[teacher_row].bool()]
    longest = min(len(mine), len(theirs))
    differs = (mine[-longest:] != theirs[-longest:]).nonzero()
    shared = longest - (int(differs[-1]) + 1 if len(differs) else 0)

    def maps(output: Any, number: int, length: int, positions: Tensor) -> list[Tensor]:
        return [output.attentions[layer][number][:, positions, length - shared : length] for layer in layers]

    return (
        maps(student, row, len(mine), batch.position[batch.row == row]),
        maps(teacher, teacher_row, len(theirs), read.position[read.row == teacher_row]),
    )
