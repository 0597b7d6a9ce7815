"""How this program's threads share a CPU with others."""

import os


def share_cores() -> None:
    """Make PyTorch's threads on a CPU sleep soon while they wait for one another. Call it before torch is imported.

    By default they spin. With any other busy process on the machine, decoding 64 prompts of a 135M model on two cores then
    took 8.8 to 13.4 s instead of 2.7; with this, 2.6 s, and as long as before on a quiet machine.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def take_cores() -> None:
    """Let what a submitted job computes itself use every core. Call it before torch is imported.

    Ray starts a job's driver from an actor without CPUs, whose OMP_NUM_THREADS of 1 the driver inherits: one thread evaluated
    what two cores were there for.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and os.environ.get("OMP_NUM_THREADS") == "1":
        del os.environ["OMP_NUM_THREADS"]
