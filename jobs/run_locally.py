#!/usr/bin/env python3
"""Run one job on a Ray of its own: start a head on loopback, submit the job, show its output, stop what was started.

    python jobs/run_locally.py jobs/train_aag.py --config configs/quick.yaml run.name=first

The head has its own ports, folder and token, so any number of them run beside each other and beside another Ray. The
exit status is the job's. Ctrl-C or SIGTERM stops the job first, so that it can say what it finished.
"""

import asyncio
import logging
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from aag_ray.threads import share_cores

START_SECONDS = 180
STOP_SECONDS = 30
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def set_environment(folder: Path) -> None:
    """Keep this Ray to itself: a token of its own, loopback only, no other Ray's address, this Python for its jobs."""
    share_cores()
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN"):
        os.environ.pop(name, None)
    os.environ |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"])),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the one switch by which Ray keeps 127.0.0.1 on Linux as well
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
    }


def free_ports(count: int) -> list[int]:
    with ExitStack() as sockets:
        taken = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


@contextmanager
def local_ray(folder: Path) -> Iterator[str]:
    """A Ray head that lives as long as the block; gives the address that jobs are submitted to.

    `ray start --block` ends every process of its own node, and no other, when it gets SIGTERM. Raises RuntimeError with
    the end of the head's log if it does not come up.
    """
    dashboard, client, agent, scaler_metrics, dashboard_metrics = free_ports(5)
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
        *("--node-ip-address=127.0.0.1", "--port=0", f"--ray-client-server-port={client}", f"--temp-dir={folder}"),
        *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"),
    ]
    metrics = {"AUTOSCALER_METRIC_PORT": str(scaler_metrics), "DASHBOARD_METRIC_PORT": str(dashboard_metrics)}
    log = folder / "head.log"
    with log.open("wb") as out:
        head = subprocess.Popen(
            command, env=os.environ | metrics, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"Ray runtime started" not in log.read_bytes():
            if head.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Ray did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        head.terminate()
        try:
            head.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait()
        kill_rest(folder)


def kill_rest(folder: Path) -> None:
    """End every process that still has this Ray's token in its environment: a head that died ends none of its jobs."""
    mark = f"RAY_AUTH_TOKEN_PATH={folder / 'token'}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # of another user, or gone
            if environment.parent.name != str(os.getpid()) and mark in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)


async def run_to_its_end(address: str, entrypoint: str) -> int:
    """Submit the job, print what it prints, and return its exit status. A signal asks the job to stop."""
    from ray.job_submission import JobStatus, JobSubmissionClient

    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
    client = JobSubmissionClient(address)
    job = client.submit_job(entrypoint=entrypoint)
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, client.stop_job, job)
    async for lines in client.tail_job_logs(job):
        print(lines, end="", flush=True)
    while not client.get_job_status(job).is_terminal():
        await asyncio.sleep(0.2)
    details = client.get_job_info(job)
    if details.status == JobStatus.SUCCEEDED:
        return 0
    if details.status == JobStatus.STOPPED:
        return 128 + signal.SIGTERM
    if details.driver_exit_code is None:
        print(f"the job did not run: {details.message}", file=sys.stderr)
    return details.driver_exit_code or 1


def stays(address: str) -> bool:
    """Whether the head still answers after the seconds that its other processes need to follow one that died."""
    host, port = address.removeprefix("http://").split(":")
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            return False
        time.sleep(0.5)
    return True


def leave(number: int, frame: object) -> None:
    sys.exit(128 + number)


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(sys.argv) > 1 else 2
    for number in SIGNALS:
        signal.signal(number, leave)
    # /tmp, because the path of a Unix socket below it must stay within about 100 bytes.
    with tempfile.TemporaryDirectory(prefix="aag-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        set_environment(Path(folder))
        print("starting Ray on this machine ...", file=sys.stderr, flush=True)
        with local_ray(Path(folder)) as address:
            try:
                return asyncio.run(run_to_its_end(address, shlex.join([sys.executable, *sys.argv[1:]])))
            except Exception as error:
                if stays(address):
                    raise
                print(f"the Ray that ran the job is gone ({type(error).__name__}: {error})", file=sys.stderr)
                print("what was finished is kept: the same command goes on from there", file=sys.stderr)
                return 1


if __name__ == "__main__":
    sys.exit(main())
