#!/usr/bin/env python3
"""Try deploy/on_premise.yaml for real, on this machine alone: `ray up`, a job, the page's endpoint, a refusal, `ray down`.

    sudo .venv/bin/python deploy/try_on_premise.py

Head and worker are two rooms made of Linux namespaces: each has its own processes, host name, home and sshd (host and user
keys are made for this run), and both share a network of their own that has a loopback and nothing else. So the file is
used as it stands, with port 22, Ray's usual ports and `ray stop`, and neither touches what else runs here; when this
program ends, in whatever way, the kernel ends all that it started. Changed in the file are only the addresses, the user,
and how the packages get there: this environment is linked, because the rooms reach no package index. A folder of this machine
stands for the NFS export at /shared, and a tiny random model that lies there answers in place of a real one.

Exit status: 0 it works, 1 it does not, 3 it cannot be tried here; the reason is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
HOSTS = {"head": "127.0.0.2", "worker": "127.0.0.3"}
DASHBOARD = "http://127.0.0.1:8265"
ENDPOINT = "http://127.0.0.1:8000/v1/chat/completions"
ROOM = ["--mount", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child"]
SHARED = Path("/shared")
STORE_BYTES = 80_000_000
START_SECONDS = 240
JOB = """
import ray, socket
ray.init(log_to_driver=False)
print("ran on", ray.get(ray.remote(lambda: socket.gethostname()).remote()))
"""
MODEL = f"from pathlib import Path; from tiny_model import tiny_model; tiny_model(Path('{SHARED}/model'))"
# As the file says, but for the model, and for the extractor, whose encoder the rooms cannot fetch.
SERVE = (
    'cd ~/aag-ray && sed "s|runs: runs|runs: /shared/runs|; s|smollm2-135m-instruct|/shared/model|; '
    's|search: {providers: .*|&\\n      extract: {extractor: bm25}|" serve_config.yaml > ~/serve.yaml '
    "&& serve deploy ~/serve.yaml"
)


def missing() -> list[str]:
    """What this machine lacks, as a person would say it."""
    packages = {"sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync", "unshare": "util-linux", "ip": "iproute2"}
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    lacking = [f"{tool} (package {name})" for tool, name in packages.items() if not shutil.which(tool, path=places)]
    if os.name != "posix" or os.geteuid() != 0:
        return [*lacking, "root (for namespaces and sshd)"]
    if not lacking and subprocess.run(["unshare", "--net", *ROOM, "true"], capture_output=True).returncode:
        lacking.append("the right to make namespaces")
    return lacking


def adapted(config: dict[str, Any], key: Path) -> dict[str, Any]:
    """The on-premise file for the two rooms."""
    start = f" --node-ip-address=$(hostname -i) --object-store-memory={STORE_BYTES}"
    changed = dict(config)
    changed["provider"] = config["provider"] | {"head_ip": HOSTS["head"], "worker_ips": [HOSTS["worker"]]}
    changed["auth"] = config["auth"] | {"ssh_user": "root", "ssh_private_key": str(key)}
    changed["max_workers"] = 1
    changed["file_mounts"] = config["file_mounts"] | {"~/aag-ray": str(ROOT)}
    kept = [line for line in config["setup_commands"] if "/uv" not in line]
    changed["setup_commands"] = [f"ln -sfn {BIN.parent} ~/aag-ray/.venv", *kept]
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        changed[name] = [line + start if "ray start" in line else line for line in config[name]]
    return changed


def run(*command: str | Path, **options: Any) -> str:
    """The command's output. Raises RuntimeError with the end of it if the command fails."""
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def host(name: str, folder: Path) -> None:
    """Become a host of the cluster: this process is a room's first, and ends as its sshd."""
    socket.sethostname(name)
    home = folder / name
    entries = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
    lines = [":".join([*entry[:5], str(home), "/bin/bash"] if entry[0] == "root" else entry) for entry in entries]
    (folder / f"{name}.passwd").write_text("\n".join(lines) + "\n")
    (home / ".profile").touch()
    (home / ".bashrc").touch()
    # No password, and not locked either, whatever this machine says of its root.
    (folder / f"{name}.shadow").write_text("root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n")
    for table in ("passwd", "shadow"):
        run("mount", "--bind", folder / f"{name}.{table}", f"/etc/{table}")
    run("mount", "--bind", folder / f"{name}.ray", "/tmp/ray")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    Path("/run/sshd").mkdir()
    settings = (
        *(f"ListenAddress {HOSTS[name]}", f"HostKey {folder / 'host_key'}", f"AuthorizedKeysFile {folder / 'user_key.pub'}"),
        *("PasswordAuthentication no", "PermitRootLogin prohibit-password", "UsePAM no", "StrictModes no", "PidFile none"),
    )
    file = folder / f"{name}.sshd"
    file.write_text("\n".join(settings) + "\n")
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin") or "sshd"
    os.execve(sshd, [sshd, "-D", "-e", "-f", str(file)], {"PATH": os.environ["PATH"]})


def tried(folder: Path) -> dict[str, Any]:
    """Bring the cluster up and down, in a network of its own. Raises RuntimeError where something is not as it should be."""
    import yaml

    run("ip", "link", "set", "lo", "up")
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in HOSTS.items()))
    run("mount", "--bind", hosts, "/etc/hosts")
    me = folder / "me"
    for place in (me, *(folder / name for name in HOSTS), *(folder / f"{name}.ray" for name in ("me", *HOSTS))):
        place.mkdir(parents=True)
    run("mount", "--bind", folder / "me.ray", "/tmp/ray")
    (folder / "shared").mkdir()
    run("mount", "--bind", folder / "shared", SHARED)
    for key in ("host_key", "user_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / key)
    config = folder / "on_premise.yaml"
    given = yaml.safe_load((ROOT / "deploy" / "on_premise.yaml").read_text())
    config.write_text(yaml.safe_dump(adapted(given, folder / "user_key")))

    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    person = clean | {"HOME": str(me), "PATH": f"{BIN}:{clean['PATH']}", "NO_PROXY": "127.0.0.1", "RAY_AUTH_MODE": "token"}
    for name in HOSTS:
        command = ["unshare", *ROOM, sys.executable, __file__, "--host", name, "--inside", str(folder)]
        subprocess.Popen(command, stdout=(folder / f"{name}.log").open("wb"), stderr=subprocess.STDOUT)
    run(BIN / "ray", "get-auth-token", "--generate", env=person)
    seconds: dict[str, float] = {}

    def timed(name: str, *command: str | Path) -> str:
        began = time.monotonic()
        said = run(*command, env=person, cwd=ROOT)
        seconds[name] = round(time.monotonic() - began, 1)
        print(f"{name}: {seconds[name]} s", file=sys.stderr, flush=True)
        return said

    timed("up", BIN / "ray", "up", "--yes", "--no-config-cache", config)
    said = timed("job", BIN / "ray", "job", "submit", "--address", DASHBOARD, "--", "python", "-c", JOB)
    if "ran on worker" not in said:
        raise RuntimeError(f"the job did not run on the worker:\n{said[-4000:]}")
    run(sys.executable, "-c", MODEL, cwd=ROOT / "benchmarks")
    timed("deploy", BIN / "ray", "exec", config, SERVE)
    began = time.monotonic()
    answer = asked("What is the capital of Peru?")
    seconds["answer"] = round(time.monotonic() - began, 1)
    refused = status_without_token()
    if refused not in (401, 403):
        raise RuntimeError(f"a request without the token was answered with {refused}")
    timed("down", BIN / "ray", "down", "--yes", config)
    for address in ((HOSTS["head"], 6379), ("127.0.0.1", 8265), ("127.0.0.1", 8000)):
        with socket.socket() as one:
            if one.connect_ex(address) == 0:
                raise RuntimeError(f"after ray down something still listens on {address}")
    return {"status": "ok", "seconds": seconds, "answered_by": answer["model"], "without_token": refused}


def asked(question: str) -> dict[str, Any]:
    """What the endpoint answers from memory, as soon as it is there. Raises RuntimeError if it is not in time."""
    body = json.dumps({"model": "aag", "messages": [{"role": "user", "content": question}], "max_tokens": 8}).encode()
    request = urllib.request.Request(ENDPOINT, body, {"Content-Type": "application/json"})
    until, last = time.monotonic() + START_SECONDS, ""
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            last = f"{error}: {error.read().decode(errors='replace')[:2000]}"
        except OSError as error:
            last = str(error)
        time.sleep(1)
    raise RuntimeError(f"no answer at {ENDPOINT} within {START_SECONDS} s: {last}")


def status_without_token() -> int:
    try:
        with urllib.request.urlopen(f"{DASHBOARD}/api/jobs/", timeout=60) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", choices=HOSTS, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.host:
        host(given.host, given.inside)
    if given.inside:
        try:
            print(json.dumps(tried(given.inside)), flush=True)
        except RuntimeError as error:
            print(f"{error}\n{tails(given.inside)}", file=sys.stderr, flush=True)
            return 1
        return 0
    if lacking := missing():
        print(f"this cannot be tried here; missing: {', '.join(lacking)}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    Path("/tmp/ray").mkdir(exist_ok=True)
    # /tmp, because the path of a Unix socket below it must stay within about 100 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="aag-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        mount_point(SHARED),
    ):
        tied = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", *ROOM]
        return subprocess.run([*tied, sys.executable, __file__, "--inside", folder]).returncode


@contextmanager
def mount_point(folder: Path) -> Iterator[None]:
    """An empty folder to mount over, for this block if there is none."""
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        yield
    finally:
        if made:
            folder.rmdir()


def tails(folder: Path) -> str:
    """The ends of the logs that say why something did not work."""
    logs = [*(folder / f"{name}.log" for name in HOSTS), *folder.glob("*.ray/session_latest/logs/monitor.out")]
    return "\n".join(f"{log}:\n{log.read_text(errors='replace')[-2000:]}" for log in logs if log.exists())


if __name__ == "__main__":
    sys.exit(main())
