"""PEFT folders as tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from aag_ray.extract.peft_adapter import load_adapter
from aag_ray.llm.adapters import Adapter, StaticLora
from aag_ray.llm.load import LoadedModel


def lora(tiny: LoadedModel) -> Adapter:
    static = StaticLora.on(tiny.model, ["down_proj", "q_proj"], rank=4, alpha=8.0)
    for b in static.b:
        torch.nn.init.normal_(b)
    return static().detach()


def test_a_saved_adapter_comes_back(tiny: LoadedModel, tmp_path: Path) -> None:
    adapter = lora(tiny)
    adapter.save_peft(tmp_path, "base")
    loaded = load_adapter(tmp_path)
    assert set(loaded.factors) == set(adapter.factors)
    for name in adapter.factors:
        torch.testing.assert_close(loaded.deltas(name), adapter.deltas(name))


def test_the_scale_of_the_folder_is_in_the_factors(tiny: LoadedModel, tmp_path: Path) -> None:
    adapter = lora(tiny)
    adapter.save_peft(tmp_path, "base")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    name = next(iter(adapter.factors))
    for change, scale in (({"lora_alpha": 12}, 3.0), ({"lora_alpha": 12, "use_rslora": True}, 6.0)):
        (tmp_path / "adapter_config.json").write_text(json.dumps(config | change))
        torch.testing.assert_close(load_adapter(tmp_path).deltas(name), adapter.deltas(name) * scale)


@pytest.mark.parametrize("change", [{"peft_type": "IA3"}, {"use_dora": True}, {"bias": "all"}])
def test_what_factors_do_not_express_is_refused(tiny: LoadedModel, tmp_path: Path, change: dict[str, object]) -> None:
    lora(tiny).save_peft(tmp_path, "base")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match="not a plain LoRA"):
        load_adapter(tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no readable PEFT folder"):
        load_adapter(tmp_path)
