"""What a reader that fuses passages is trained on: answers, and a teacher that reads more than it (AAG, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from aag_ray.awaken import losses
from aag_ray.awaken.fid import Inputs, Keep
from aag_ray.awaken.fid_alignment import Read, alignment, keep_for, refuse_mismatch, shared_beginning
from aag_ray.awaken.fid_reader import FidReader
from aag_ray.awaken.t5_layers import give_attention_maps
from aag_ray.config import FidDistillSection
from aag_ray.llm.adapters import applied
from aag_ray.llm.batches import TargetBatch, nll
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.objective import Example, Objective


class FidObjective(Objective):
    """alpha * KD + (1 - alpha) * NLL, with further terms by their weights (AAG, eq. 5-9).

    An example has `id`, `inputs` (one text for each passage, the question in front) and `target`; with `condition` its
    adapter is made from that text, with `teacher_inputs` the teacher, reading those, is distilled from. It is frozen unless
    it is co-trained: then it learns to answer from what it reads, never to please the student.
    """

    def __init__(self, reader: FidReader, distill: FidDistillSection, teacher: FidReader | None = None) -> None:
        """Raises ValueError for a teacher of another vocabulary, or of a shape that a term cannot compare."""
        super().__init__()
        self.reader, self.distill = reader, distill
        self._teacher = (teacher if distill.asks_teacher else None,)
        if teacher is not None:
            refuse_mismatch(reader, teacher, distill)
            teacher.requires_grad_(False)
        self.co_trained = teacher.thaw() if teacher is not None and distill.co_train > 0 else None
        for part in (reader, teacher):
            if part is not None and distill.needs_attention:
                give_attention_maps(part.loaded)

    @property
    def loaded(self) -> LoadedModel:
        return self.reader.loaded

    def length(self, example: Example) -> int:
        """Tokens of all inputs, of the target and of what the teacher reads."""
        read = sum(map(len, self.reader.tokens(example["inputs"])))
        teacher = self._teacher[0]
        taught = sum(map(len, teacher.tokens(example.get("teacher_inputs") or ()))) if teacher is not None else 0
        return read + taught + len(self.reader.fid.targets([example["target"]], self.reader.longest_answer).label)

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        teacher = self._teacher[0]
        inputs = [self.reader.tokens(example["inputs"]) for example in examples]
        taught = [row for row, e in enumerate(examples) if e.get("teacher_inputs")] if teacher is not None else []
        theirs = [teacher.tokens(examples[row]["teacher_inputs"]) for row in taught] if teacher is not None else []
        question = [shared_beginning(inputs[row], read) for row, read in zip(taught, theirs, strict=True)]
        tokens = dict(zip(taught, question, strict=True))
        keep = keep_for(self.distill, self.reader, [tokens.get(row, 0) for row in range(len(examples))]) if taught else None
        batch = self._targets(examples)
        logits, student = self._read(self.reader, inputs, examples, batch, keep, aligned=bool(taught))
        rows = nll(logits, batch.label, batch.row, len(examples))
        terms = {"nll": rows.mean()}
        if teacher is not None and taught:
            asked = [examples[row] for row in taught]
            with torch.no_grad():
                keep = keep_for(self.distill, teacher, question)
                expected, lesson = self._read(teacher, theirs, asked, self._targets(asked), keep, aligned=True)
            if self.co_trained is not None:  # a pass of its own, so that no other term can reach the teacher
                own, read = self._read(self.co_trained, theirs, asked, self._targets(asked))
                terms["co_train"] = nll(own, read.batch.label, read.batch.row, len(asked)).mean()
            mine = logits[torch.isin(batch.row, torch.tensor(taught, device=batch.row.device))]
            terms |= self._divergences(mine, expected, lesson.batch.row, taught, rows)
            terms |= alignment(self.distill, student, lesson, taught, question)
        weights = self.distill.weights | {"co_train": self.distill.co_train}
        loss = terms.pop("combined", terms["nll"])
        if self.co_trained is not None and not taught:  # it has nothing to learn here, yet its gradients are exchanged
            first = [self.co_trained.tokens(examples[0]["inputs"])]
            loss = loss + 0 * self._read(self.co_trained, first, examples[:1], self._targets(examples[:1]))[0].sum()
        return {**terms, "loss": loss + sum(weights[name] * term for name, term in terms.items() if name in weights)}

    def _targets(self, examples: Sequence[Example]) -> TargetBatch:
        return self.reader.fid.targets([example["target"] for example in examples], self.reader.longest_answer)

    def _read(
        self,
        reader: FidReader,
        inputs: Sequence[Inputs],
        examples: Sequence[Example],
        batch: TargetBatch,
        keep: Keep | None = None,
        aligned: bool = False,
    ) -> tuple[Tensor, Read]:
        weights = self.distill.weights if aligned else {}
        wanted = {
            "output_hidden_states": "decoder_hidden" in weights,
            "output_attentions": "decoder_attention" in weights or "cross_attention" in weights,
        }
        with applied(reader.loaded.model, *reader.adapters([example.get("condition") for example in examples])):
            fused = reader.fid.encode(inputs, keep)
            logits, output = reader.fid.decode(fused, batch, **wanted)
        layers = losses.chosen_layers(reader.loaded.model.config.num_decoder_layers, self.distill.layers)
        return logits, Read(fused, batch, output, layers)

    def _divergences(self, student: Tensor, teacher: Tensor, row: Tensor, taught: list[int], rows: Tensor) -> dict[str, Tensor]:
        """Of the (m, vocabulary) logits of the rows that are taught; `rows` are the cross-entropies of all rows."""
        settings, terms = self.distill, {}
        if settings.kd:
            tau = losses.kd_temperature(self.step, settings.temperature, settings.temperature_every)
            kd = losses.kd(student, teacher, row, len(taught), tau)
            index = torch.tensor(taught, device=rows.device)
            combined = rows.index_copy(0, index, settings.alpha * kd + (1 - settings.alpha) * rows[index])
            terms = {"kd": kd.mean(), "combined": combined.mean()}
        if settings.kl > 0:
            terms["kl"] = losses.gated_kl(student, teacher, row, len(taught), settings.kl_temperature).mean()
        return terms

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[float]:
        """Minus the mean cross-entropy of each example's target."""
        inputs, batch = [self.reader.tokens(example["inputs"]) for example in examples], self._targets(examples)
        logits, _ = self._read(self.reader, inputs, examples, batch)
        return (-nll(logits, batch.label, batch.row, len(examples))).tolist()

    def save_pretrained(self, folder: Path) -> None:
        """The reader; a co-trained teacher, as such a reader, below `teacher`."""
        self.reader.save_pretrained(folder)
        if self.co_trained is not None:
            self.co_trained.save_pretrained(folder / "teacher")
