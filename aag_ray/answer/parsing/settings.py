"""What a trained parser's folder says of it besides its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from aag_ray.answer.parsing.calibrate import Platt, Weighing

CONFIG = "parser.json"


@dataclass(frozen=True, slots=True)
class ParserSettings:
    """What `from_pretrained` needs besides weights. `base_model` is a model's name or, for one trained whole, its folder beside
    the settings. From `threshold` on the web is asked, by the question alone; `weighing` decides once memory has answered."""

    base_model: str
    calibration: Platt = field(default_factory=Platt)
    threshold: float = 0.5
    weighing: Weighing | None = None
    query_tokens: int = 96
    question_tokens: int = 48

    @classmethod
    def read(cls, folder: Path) -> ParserSettings:
        """Raises OSError, ValueError, KeyError or TypeError where a folder holds none."""
        values = json.loads((folder / CONFIG).read_text())
        weighing = values.get("weighing")
        made = {"calibration": Platt(**values["calibration"]), "weighing": Weighing(**weighing) if weighing else None}
        return cls(**values | made)
