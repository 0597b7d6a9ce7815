"""The plot opens, has its size, and shows what was measured in the colours of the groups."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.colors import to_rgb
from PIL import Image

from aag_ray.evaluate.plot import COLOURS, DPI, WIDTH, render_plot


def opened(result: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(render_plot(result))).convert("RGB")


def colours(image: Image.Image) -> set[Any]:
    """Colours of areas; the edges of letters have many more."""
    return {colour for pixels, colour in image.getcolors(maxcolors=1 << 24) or [] if pixels > 1000}


def rgb(name: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(name))


def test_the_plot_is_a_png_of_readme_width(result: dict[str, Any]) -> None:
    assert render_plot(result).startswith(b"\x89PNG")
    assert opened(result).width == WIDTH * DPI == 1800
    assert 500 < opened(result).height < 1000


def test_the_plot_grows_with_the_systems(result: dict[str, Any]) -> None:
    more = result | {"systems": result["systems"] | {f"retrieved_{n}": {"em": 50.0} for n in range(20, 30)}}
    assert opened(more).height > opened(result).height + 500


def test_every_group_has_its_colour(result: dict[str, Any]) -> None:
    seen = colours(opened(result))
    for group in ("baseline", "aag", "control", "retrieval"):
        assert rgb(COLOURS[group][0]) in seen
    assert rgb(COLOURS["other"][0]) not in seen


def test_systems_that_were_not_measured_leave_no_bar() -> None:
    image = opened({"systems": {"zero_shot": {"em": None}, "made_up $x_1": {"em": 100.0}}})
    assert rgb(COLOURS["baseline"][0]) not in colours(image)
    assert rgb(COLOURS["other"][0]) in colours(image)


def test_a_plot_of_nothing_measured_is_empty_not_broken() -> None:
    assert opened({"systems": {"aag": {}}}).width == 1800
