"""What a training shows while it runs: where it stands, its loss and its speed."""

from __future__ import annotations

from collections.abc import Sequence

from aag_ray.pipelines.metrics import Measure, Meters
from aag_ray.train.log import Record

TRAINING = (
    Measure("aag_training_step", "The step that a training has done", ("training",), gauge=True),
    Measure("aag_training_loss", "The loss of a training's last step", ("training",), gauge=True),
    Measure("aag_training_tokens_per_second", "Tokens that a training read a second", ("training",), gauge=True),
)


class TrainingMeters(Meters):
    """Takes the log's new records, on the worker that writes the log. `training` is the name of its folder."""

    def __init__(self, training: str) -> None:
        super().__init__(TRAINING)
        self.training = training

    def __call__(self, records: Sequence[Record]) -> None:
        if not records:
            return
        seconds = sum(record["seconds"] for record in records)
        self.set("aag_training_step", records[-1]["step"], training=self.training)
        self.set("aag_training_loss", records[-1]["loss"], training=self.training)
        if seconds:
            tokens = sum(record["tokens"] for record in records)
            self.set("aag_training_tokens_per_second", tokens / seconds, training=self.training)
