"""The card of a trained awakening model, as the hub reads it: what its folder holds, how it is loaded, what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aag_ray.artifacts import write_atomically
from aag_ray.evaluate.markdown import render_markdown
from aag_ray.evaluate.systems import long_name

CARD = "README.md"
_METRICS = {"em": ("exact_match", "Exact match"), "f1": ("f1", "F1")}
_TEXT = """
# Awakening model on `{base}`

For a question, a context generator writes a short dummy document, and a hypernetwork turns question and document into LoRA
factors for this one question; the base model answers with them (AAG, [arXiv 2403.15268](https://arxiv.org/abs/2403.15268)).
All weights are safetensors; the base model is not among them.

| Folder | What it holds |
| --- | --- |
{folders}

```python
from aag_ray.awaken.awakened import AwakeningModel

model = AwakeningModel.from_pretrained("{name}")  # a folder, or a hub id
model.awaken("What is the capital of Mozambique?").answer()
```

## Evaluation

{n} test questions: {data}.

{table}"""
_FOLDERS = {
    "generator": "the context generator's LoRA",
    "reader": "the reader's LoRA",
    "hypernetwork": "the hypernetwork: settings and shapes in `config.json`",
}


def write_model_card(folder: Path, result: Mapping[str, Any], base: str, data: str) -> Path:
    """Write the card of the model in `folder` from the result of its evaluation (see `report`); gives the card's path.

    `base` names the base model, `data` says in a few words what the test questions are.
    """
    from huggingface_hub import ModelCardData

    known = ModelCardData(
        base_model=base_name(base),
        library_name="aag-ray",
        pipeline_tag="question-answering",
        tags=["awakening-augmented-generation", "hypernetwork", "lora"],
        model_name=folder.name,
        eval_results=list(measured(result["systems"].get("aag", {}), data, long_name("aag", 0))),
    )
    scores = [row.get("em") for row in result["systems"].values()]
    questions = max((int(score["n"]) for score in scores if isinstance(score, Mapping)), default=0)
    text = _TEXT.format(
        base=base, name=folder.name, folders=folder_rows(folder), n=questions, data=data, table=render_markdown(result)
    )
    write_atomically(folder / CARD, f"---\n{known.to_yaml()}\n---\n{text}")
    return folder / CARD


def base_name(base: str) -> str | None:
    """The base model for the hub. A local folder is no name that it could follow."""
    return None if Path(base).is_absolute() else base


def folder_rows(folder: Path) -> str:
    """Rows of a table: the parts of an awakening model that lie in its folder."""
    return "\n".join(f"| `{name}/` | {what} |" for name, what in _FOLDERS.items() if (folder / name).is_dir())


def measured(scores: Mapping[str, Any], data: str, system: str) -> Iterator[Any]:
    """What the hub shows of one system's scores, as its EvalResult."""
    from huggingface_hub import EvalResult

    for key, (kind, title) in _METRICS.items():
        if (score := scores.get(key)) is not None:
            value = score["value"] if isinstance(score, Mapping) else score
            yield EvalResult(
                task_type="question-answering",
                dataset_type="qa",
                dataset_name=data,
                dataset_split="test",
                metric_type=kind,
                metric_name=f"{title}, {system}",
                metric_value=round(float(value), 2),
            )
