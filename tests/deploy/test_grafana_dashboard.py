"""The dashboard shows every metric of the program, and none that it does not have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aag_ray.pipelines.metrics import PIPELINES
from aag_ray.serve.metrics import ANSWERING, ENGINE, EXTRACTOR, GATEWAY, WEB
from aag_ray.train.meters import TRAINING

DASHBOARD = json.loads((Path(__file__).resolve().parents[2] / "deploy" / "grafana_dashboard.json").read_text())
MEASURES = {measure.name: measure for measure in (*GATEWAY, *ANSWERING, *WEB, *EXTRACTOR, *ENGINE, *PIPELINES, *TRAINING)}


def shown() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    return (target["expr"] for panel in shown() for target in panel["targets"])


def test_its_names_are_exactly_those_that_are_exported():
    named = {name for expression in expressions() for name in re.findall(r"\bray_\w+", expression)}
    assert named <= {name for measure in MEASURES.values() for name in measure.exported}
    assert {name for name, measure in MEASURES.items() if named.isdisjoint(measure.exported)} == set()


def test_it_groups_by_labels_that_there_are():
    for expression in expressions():
        (name,) = {re.sub("_bucket$", "", name).removeprefix("ray_") for name in re.findall(r"\bray_\w+", expression)}
        grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
        picked = set(re.findall(r"(\w+)=~?\"", expression))
        assert grouped | picked <= {*MEASURES[name].labels, "le"}, expression


def test_legends_name_labels_of_their_expression():
    for target in (target for panel in shown() for target in panel["targets"]):
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), target


def test_panels_do_not_overlap_and_have_ids_of_their_own():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(place["x"] + place["w"] for place in places) <= 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
