"""The card of a trained reader that fuses passages, as the hub reads it: what was trained, how it is loaded, how it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aag_ray.artifacts import write_atomically
from aag_ray.evaluate.model_card import CARD, base_name

_TEXT = """---
{known}
---
# Reader that fuses passages on `{base}`

A T5 that reads its inputs one by one and fuses them in the decoder (Fusion-in-Decoder,
[arXiv 2007.01282](https://arxiv.org/abs/2007.01282)). Trained parameters: {trained}. All are safetensors; what was not trained
of the base model is not among them.

```python
from aag_ray.awaken.fid_reader import FidReader

reader = FidReader.from_pretrained("{name}")  # a folder, or a hub id
```

## Evaluation

It reads {reads}; {questions} test questions.

{table}"""
READS = {
    "nothing": "nothing but the question",
    "document": "one dummy document",
    "gold": "the first passage that holds an answer",
    "passages": "up to {passages} retrieved passages",
}


def write_fid_card(folder: Path, result: Mapping[str, Any], table: str, base: str, reads: str, passages: int) -> Path:
    """Write the card of the reader in `folder` from the result of its evaluation and its table; gives the card's path."""
    from huggingface_hub import ModelCardData

    known = ModelCardData(
        base_model=base_name(base),
        library_name="aag-ray",
        pipeline_tag="question-answering",
        tags=["awakening-augmented-generation", "fusion-in-decoder"],
    )
    text = _TEXT.format(
        known=known.to_yaml(),
        base=base,
        name=folder.name,
        trained=", ".join(f"{part} {count:,}" for part, count in result["trained_parameters"].items()),
        reads=READS[reads].format(passages=passages),
        questions=result["sets"]["test"]["questions"],
        table=table,
    )
    write_atomically(folder / CARD, text)
    return folder / CARD
