"""An instruction set as files: JSON lines as ZI-ISAG has them, parquet with every column, and a data card."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from aag_ray.artifacts import write_atomically, write_table
from aag_ray.extract.instruction_set import Instruction, InstructionSet
from aag_ray.records import SPLITS


def write_set(folder: Path, made: InstructionSet, title: str = "Instructions for a tag extractor") -> list[Path]:
    """`<split>.jsonl` ({prompt, chosen}, as ZI-ISAG), `<split>.parquet` (all columns) and the data card. Returns the paths."""
    import pyarrow as pa

    schema = pa.schema([(name, pa.bool_() if name == "relevant" else pa.string()) for name in Instruction.__slots__])
    paths = []
    for split in SPLITS:
        chosen = [each for each in made.instructions if each.split == split]
        lines = [json.dumps({"prompt": each.prompt, "chosen": each.chosen}, ensure_ascii=False) + "\n" for each in chosen]
        paths += [folder / f"{split}.jsonl", folder / f"{split}.parquet"]
        write_atomically(paths[-2], "".join(lines))
        write_table(paths[-1], [asdict(each) for each in chosen], schema=schema)
    write_atomically(folder / "README.md", data_card(made, title))
    return [*paths, folder / "README.md"]


def data_card(made: InstructionSet, title: str) -> str:
    """What the set is made of, as Markdown."""
    counts = made.counts
    per_split = Counter((each.split, each.relevant) for each in made.instructions)
    lines = [
        f"# {title}",
        "",
        f"{len(made.instructions)} examples: {counts['positives'] + counts['negatives']} pairs of a request and a page "
        f"({counts['pages']} pages), each in two forms, information with tags and tags alone.",
        "Page text is data from the pages named in the column `url`; their licences apply.",
        "",
        "| split | examples | something relevant | nothing relevant |",
        "|---|---|---|---|",
        *(
            f"| {split} | {counts['splits'][split]} | {per_split[split, True]} | {per_split[split, False]} |"
            for split in SPLITS
        ),
        "",
        "Splits go by page: near-duplicate pages are in one split.",
        "",
        f"- Rows given: {counts['rows']}; near-duplicate requests left out: {counts['duplicates']}",
        f"- Negatives: {counts['negatives']} of {counts['negatives_wanted']} wanted, {counts['negatives_left_over']} left over",
        f"- Teachers read {counts['tokens_in']} tokens, wrote {counts['tokens_out']}, and cost {counts['cost']:.4f}",
    ]
    for name in ("sources", "outcomes", "teacher_outcomes", "ignored"):
        lines += ["", f"| {name.replace('_', ' ')} | count |", "|---|---|"]
        lines += [f"| {key.replace('|', chr(92) + '|')} | {count} |" for key, count in sorted(counts[name].items())]
    return "\n".join([*lines, ""])
