"""The card of a model that reads documents into its parameters, as the hub reads it: its folder, loading, evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aag_ray.artifacts import write_atomically
from aag_ray.evaluate.knowledge import render_knowledge
from aag_ray.evaluate.model_card import CARD, base_name, folder_rows, measured

_TEXT = """---
{known}
---
# Documents read into the parameters of `{base}`

A hypernetwork turns a document into LoRA factors; with them the reader answers questions about the document without its text in
the prompt, as with Doc-to-LoRA ([arXiv 2602.15902](https://arxiv.org/abs/2602.15902)). All weights are safetensors; the base
model is not among them.

| Folder | What it holds |
| --- | --- |
{folders}

```python
from aag_ray.awaken.awakened import AwakeningModel

model = AwakeningModel.from_pretrained("{name}")  # a folder, or a hub id
model.internalize("Lumora is a town. Its flag is green.")
model.answer("Which colour is the flag of Lumora?")
```

## Evaluation

{questions} test questions, each with a document that answers it: {data}. The document is nowhere (closed book), in the prompt
(text), in the parameters, or in both; shuffled adapters are those of other documents, and a number says how many documents are
given together.

{table}"""


def write_knowledge_card(folder: Path, result: Mapping[str, Any], base: str, data: str) -> Path:
    """Write the card of the model in `folder` from the result of its evaluation (see `KnowledgeTest.run`); gives its path.

    `base` names the base model, `data` says in a few words what the test questions are.
    """
    from huggingface_hub import ModelCardData

    known = ModelCardData(
        base_model=base_name(base),
        library_name="aag-ray",
        pipeline_tag="question-answering",
        tags=["hypernetwork", "lora", "knowledge-injection"],
        model_name=folder.name,
        eval_results=list(measured(result["systems"]["parameters"], data, "document in the parameters")),
    )
    text = _TEXT.format(
        known=known.to_yaml(),
        base=base,
        folders=folder_rows(folder),
        name=folder.name,
        questions=result["questions"],
        data=data,
        table=render_knowledge(dict(result)),
    )
    write_atomically(folder / CARD, text)
    return folder / CARD
