"""What a figure was measured on: processor, memory, accelerator, versions and commit."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "ray", "transformers", "deepspeed")
_CGROUP = Path("/sys/fs/cgroup")


def describe_machine() -> dict[str, Any]:
    """A JSON-able description: `cpu`, `cores`, `memory_gb`, `gpu`, `python`, one version per package, `commit`, `date`.

    Cores and memory are what this process may use, limits of a container included. What cannot be known is None.
    """
    return {
        "cpu": _cpu_model(),
        "cores": _cores(),
        "memory_gb": _memory_gb(),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _cores() -> int | float | None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota, _, period = _cgroup_limit("cpu.max").partition(" ")
    if cores and quota.isdigit() and period.isdigit():
        limit = round(int(quota) / int(period), 1)
        return cores if limit >= cores else int(limit) if limit.is_integer() else limit
    return cores


def _memory_gb() -> float | None:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # this system does not tell
        return None
    limit = _cgroup_limit("memory.max")
    return round(min(total, int(limit)) / 1e9 if limit.isdigit() else total / 1e9, 1)


def _cgroup_limit(name: str) -> str:
    try:
        return (_CGROUP / name).read_text().strip()
    except OSError:  # no control groups, so no limit
        return ""


def _gpu() -> str | None:
    import torch

    if not torch.cuda.is_available():
        return None
    count = torch.cuda.device_count()
    return f"{count} x {torch.cuda.get_device_name(0)}" if count > 1 else torch.cuda.get_device_name(0)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with "+" if tracked files differ from it. None outside a checkout of this project."""
    if shutil.which("git") is None or _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}+" if commit and changes else commit


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
