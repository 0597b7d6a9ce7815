"""A worker node is lost in the middle of the work, on a real Ray of several nodes: nothing is lost, doubled or cut off."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def node_loss() -> Iterator[Any]:
    """The benchmark, which imports what stands beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module("node_loss")


@pytest.fixture(scope="module")
def nodes(node_loss: Any) -> Iterator[Any]:
    """A head and three workers, of which each of two tests kills one."""
    with node_loss.nodes(workers=3) as made:
        yield made


def test_requests_are_answered_or_refused_while_the_engines_node_is_lost(node_loss: Any, nodes: Any):
    report = node_loss.lose_a_node_while_serving(nodes, node_loss.tiny_model(nodes.folder / "model"), seconds=0)
    assert report["broken"] == 0, report
    assert report["answered"] >= 40
    assert report["share_not_broken"] == 1


def test_a_crawl_loses_and_doubles_no_row_with_its_node(node_loss: Any, nodes: Any):
    report = node_loss.lose_a_node_while_crawling(nodes)
    assert report["nodes_killed"] == 1
    assert report["articles"] > 100
    wrong = ("lost", "doubled", "other_outcomes", "pages_lost", "pages_doubled")
    assert {name: report[name] for name in wrong} == dict.fromkeys(wrong, 0), report


@pytest.mark.parametrize(
    ("status", "text", "stream", "how"),
    [
        (200, '{"choices": [], "aag": {"provenance": {"provenance": "from_memory"}}}', False, "answered"),
        (200, '{"choices": [], "aag": {"provenance": {"provenance": "out_of_time"}}}', False, "excused"),
        (503, '{"error": {"code": "overloaded"}}', False, "refused"),
        (500, "Internal Server Error", False, "broken"),
        (200, 'data: {"aag": {"event": "provenance", "provenance": "from_memory"}}\n\ndata: [DONE]\n\n', True, "answered"),
        (200, 'data: {"choices": []}\n\ndata: {"error": {"code": "overloaded"}}\n\n', True, "refused"),
        (200, 'data: {"choices": []}\n\n', True, "broken"),
        (200, "", True, "broken"),
    ],
)
@pytest.mark.usefixtures("node_loss")
def test_a_stream_without_its_end_counts_as_broken(status: int, text: str, stream: bool, how: str):
    assert import_module("traffic").ending(status, text, stream)[0] == how
