"""Adapters in folders: what is written is their sum, numbers are never given twice, and nothing stays behind."""

from pathlib import Path

import pytest
import torch

from aag_ray.extract.peft_adapter import load_adapter
from aag_ray.llm.adapter_folders import AdapterFolders, join
from aag_ray.llm.adapters import Adapter, AdapterError, adaptable_layers
from aag_ray.llm.load import LoadedModel

DOWN = "model.layers.0.mlp.down_proj"


def adapter(loaded: LoadedModel, *modules: str, rank: int, seed: int = 1, count: int = 1) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    return Adapter(
        {
            name: (
                torch.randn(count, layer.in_features, rank, generator=generator),
                torch.randn(count, rank, layer.out_features, generator=generator),
            )
            for name, layer in adaptable_layers(loaded.model, modules).items()
        }
    )


@pytest.fixture
def folders(tiny: LoadedModel, tmp_path: Path) -> AdapterFolders:
    return AdapterFolders(tmp_path / "ram", tiny, rank=8)


def test_joined_adapters_update_by_the_sum_of_their_updates(tiny: LoadedModel):
    role, own = adapter(tiny, "down_proj", "q_proj", rank=3), adapter(tiny, "down_proj", "up_proj", rank=2, seed=2)
    both = join([role, own])
    torch.testing.assert_close(both.deltas(DOWN), role.deltas(DOWN) + own.deltas(DOWN), atol=1e-4, rtol=1e-4)
    assert both.factors[DOWN][0].shape[2] == 5
    for only, one in (("self_attn.q_proj", role), ("mlp.up_proj", own)):
        torch.testing.assert_close(both.deltas(f"model.layers.1.{only}"), one.deltas(f"model.layers.1.{only}"))


def test_what_is_saved_is_read_back_as_the_same_updates(tiny: LoadedModel, folders: AdapterFolders):
    given = [adapter(tiny, "down_proj", "q_proj", rank=3), adapter(tiny, "down_proj", rank=2, seed=2)]
    read = load_adapter(folders.save(given).folder)
    joined = join(given)
    assert read.factors.keys() == joined.factors.keys()
    for name in joined.factors:
        torch.testing.assert_close(read.deltas(name), joined.deltas(name))


def test_every_save_has_a_number_and_a_folder_of_its_own(tiny: LoadedModel, folders: AdapterFolders):
    one = adapter(tiny, "down_proj", rank=2)
    first, second = folders.save([one]), folders.save([one])
    folders.free(first)
    third = folders.save([one])
    assert len({first.number, second.number, third.number}) == 3
    assert min(first.number, second.number, third.number) > 0
    assert not first.folder.exists()
    assert second.folder.exists()


def test_two_engines_can_share_a_root(tiny: LoadedModel, folders: AdapterFolders):
    other = AdapterFolders(folders.folder.parent, tiny, rank=8)
    assert other.folder != folders.folder
    other.close()
    assert folders.folder.is_dir()
    assert not other.folder.exists()


def test_an_adapter_that_was_made_in_inference_mode_can_be_saved(tiny: LoadedModel, folders: AdapterFolders):
    with torch.inference_mode():
        made = adapter(tiny, "down_proj", rank=2).map(lambda factor: factor * 2)
    assert (folders.save([made]).folder / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Adapter({DOWN: (torch.ones(1, 96, 9), torch.ones(1, 9, 64))}), f"{DOWN}: adapters of rank 9 together, above the"),
        (
            Adapter({DOWN: (torch.ones(1, 95, 2), torch.ones(1, 2, 64))}),
            r"\(1, 95, 2\) x \(1, 2, 64\) does not fit a layer of 96",
        ),
        (Adapter({"model.other": (torch.ones(1, 9, 2), torch.ones(1, 2, 9))}), "has no linear layer 'model.other'"),
        (Adapter({DOWN: (torch.ones(2, 96, 2), torch.ones(2, 2, 64))}), "an adapter of 2 examples"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_before_anything_is_written(
    folders: AdapterFolders, wrong: Adapter, message: str
):
    with pytest.raises(AdapterError, match=message):
        folders.save([wrong])
    assert list(folders.folder.iterdir()) == []
