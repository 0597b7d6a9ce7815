"""Which threads a process gets: those that Ray would keep from a job's driver, too."""

import os

import pytest

from aag_ray.threads import share_cores, take_cores


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_driver_of_a_submitted_job_is_not_kept_to_one_thread(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    environment.setenv("OMP_NUM_THREADS", "1")
    take_cores()
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(("job", "threads"), [(True, "3"), (False, "1"), (True, None), (False, None)])
def test_what_somebody_else_said_stays(environment: pytest.MonkeyPatch, job: bool, threads: str | None) -> None:
    if job:
        environment.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    if threads:
        environment.setenv("OMP_NUM_THREADS", threads)
    take_cores()
    assert os.environ.get("OMP_NUM_THREADS") == threads


def test_threads_that_wait_sleep_soon_unless_told_otherwise(environment: pytest.MonkeyPatch) -> None:
    share_cores()
    assert os.environ["GOMP_SPINCOUNT"] == "2000"
    environment.setenv("GOMP_SPINCOUNT", "7")
    share_cores()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
