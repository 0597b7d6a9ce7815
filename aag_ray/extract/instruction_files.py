"""An instruction set as files: JSON lines as ZI-ISAG has them, parquet with every column, and a data card."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

from aag_ray.artifacts import RunError, read_table, write_atomically, write_table
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.instruction_set import Instruction, InstructionSet
from aag_ray.extract.instructions import InstructionRow
from aag_ray.records import SPLITS

ROWS = "rows.parquet"


def write_set(folder: Path, made: InstructionSet, title: str = "Instructions for a tag extractor") -> list[Path]:
    """`<split>.jsonl` ({prompt, chosen}, as ZI-ISAG), `<split>.parquet` (all columns), the rows they come from, the data card.

    Returns the paths.
    """
    import pyarrow as pa

    schema = pa.schema([(name, pa.bool_() if name == "relevant" else pa.string()) for name in Instruction.__slots__])
    paths = []
    for split in SPLITS:
        chosen = [each for each in made.instructions if each.split == split]
        lines = [json.dumps({"prompt": each.prompt, "chosen": each.chosen}, ensure_ascii=False) + "\n" for each in chosen]
        paths += [folder / f"{split}.jsonl", folder / f"{split}.parquet"]
        write_atomically(paths[-2], "".join(lines))
        write_table(paths[-1], [asdict(each) for each in chosen], schema=schema)
    write_table(folder / ROWS, [row.to_row() for row in made.rows])
    write_atomically(folder / "README.md", data_card(made, title))
    return [*paths, folder / ROWS, folder / "README.md"]


def read_examples(folder: Path) -> dict[str, list[ExtractionExample]]:
    """By split the examples of a set: of its own folder, or of the run that `jobs/build_instructions.py` made.

    Raises RunError if there is none, or a file that is no table of one.
    """
    found = next((path for path in (folder / ROWS, folder / "instructions" / ROWS) if path.is_file()), None)
    if found is None:
        raise RunError(f"{folder} holds no set of instructions; jobs/build_instructions.py makes one")
    splits: dict[str, list[ExtractionExample]] = {split: [] for split in SPLITS}
    try:
        for row in map(InstructionRow.from_row, read_table(found)):
            splits[row.split].append(replace(row.to_example(), id=f"instructions:{row.id}"))
    except KeyError as missing:
        raise RunError(f"{found} is no set of instructions: it has no {missing}") from None
    return splits


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
        "Questions keep their split, and pages of requests go by a hash of their URL; near-duplicate pages are in one split.",
        "",
        f"- Rows given: {counts['rows']}; near-duplicate requests left out: {counts['duplicates']}",
        f"- Negatives: {counts['negatives']} of {counts['negatives_wanted']} wanted, {counts['negatives_left_over']} left over",
        f"- Teachers read {counts['tokens_in']} tokens, wrote {counts['tokens_out']}, and cost {counts['cost']:.4f}",
    ]
    for name in ("sources", "needles", "log", "log_pages", "outcomes", "teacher_outcomes", "ignored"):
        if not counts.get(name):
            continue
        lines += ["", f"| {name.replace('_', ' ')} | count |", "|---|---|"]
        lines += [f"| {key.replace('|', chr(92) + '|')} | {count} |" for key, count in sorted(counts[name].items())]
    return "\n".join([*lines, ""])
