"""API, worker and Redis as real processes; only the runner is a fake."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from jobs.settings import Settings
from tests.processes import Processes, free_port, is_ready, running_in
from tests.uploads import digits_npz, keras_file
from tests.worker.conftest import RUNNER, wait_until

pytestmark = pytest.mark.e2e

BROKER_DB = 14


@pytest.fixture
def settings(redis_socket: Path, tmp_path: Path) -> Settings:
    for database in (15, BROKER_DB):
        with redis.Redis(unix_socket_path=str(redis_socket), db=database) as client:
            client.flushdb()
    return Settings(
        redis_url=f"unix://{redis_socket}?db=15",
        broker_db=BROKER_DB,
        data_directory=tmp_path / "data",
        port=free_port(),
        lease_seconds=3,
        heartbeat_seconds=0.5,
        grace_seconds=1,
        poll_seconds=0.1,
        sweep_seconds=0.5,
        republish_seconds=1,
        runner_command=RUNNER,
    )


@pytest.fixture
def processes(settings: Settings, tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(settings, tmp_path / "log.txt")
    try:
        yield processes
    finally:
        processes.end()
        sys.stdout.write((tmp_path / "log.txt").read_text())


@pytest.fixture
def client(processes: Processes, settings: Settings) -> Iterator[httpx.Client]:
    processes.start("-m", "uvicorn", "api.app:app", "--port", str(settings.port), "--log-level", "warning")
    with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", timeout=90) as client:
        wait_until(lambda: is_ready(client))
        yield client


def submit(client: httpx.Client, behaviour: str) -> str:
    model = client.post("/v1/models?filename=m.keras", content=keras_file()).json()["id"]
    dataset = client.post("/v1/datasets?filename=d.npz", content=digits_npz()).json()["id"]
    spec = {"model": model, "dataset": dataset, "name": behaviour, "pruning": {"ratio": 0.5}}
    response = client.post("/v1/jobs", json=spec)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def get(client: httpx.Client, job: str, wait_seconds: float = 0) -> Any:
    return client.get(f"/v1/jobs/{job}", params={"wait": wait_seconds}).json()


def test_a_job_from_upload_to_download(client: httpx.Client, processes: Processes) -> None:
    processes.start_worker()
    job = submit(client, "succeed")
    with client.stream("GET", f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"}) as stream:
        data = [json.loads(line[6:])["data"] for line in stream.iter_lines() if line.startswith("data: ")]
    assert [event["status"] for event in data if "status" in event] == ["queued", "running", "succeeded"]
    assert get(client, job)["attempt"] == 1
    artifact = client.get(f"/v1/jobs/{job}/artifacts/pruned.keras", headers={"Range": "bytes=0-5"})
    assert (artifact.status_code, artifact.text) == (206, "pruned")
    assert get(client, submit(client, "crash"), 60)["error"]["type"] == "/problems/crashed"
    assert get(client, submit(client, "succeed"), 60)["status"] == "succeeded"


def test_a_running_job_is_cancelled(client: httpx.Client, processes: Processes) -> None:
    processes.start_worker()
    job = submit(client, "sleep")
    wait_until(lambda: get(client, job)["progress"] is not None)
    assert client.post(f"/v1/jobs/{job}/cancel").json()["cancel_requested"]
    assert get(client, job, 60)["status"] == "cancelled"


def test_a_killed_worker_takes_its_child_along_and_loses_no_job(
    client: httpx.Client, processes: Processes, settings: Settings
) -> None:
    worker = processes.start_worker()
    job = submit(client, "sleep at first")
    wait_until(lambda: get(client, job)["progress"] is not None)
    children = running_in(settings.workspace_directory)
    worker.kill()
    worker.wait()
    assert len(children) == 1
    wait_until(lambda: not running_in(settings.workspace_directory))
    processes.start_worker()
    done = get(client, job, 60)
    assert (done["status"], done["attempt"]) == ("succeeded", 2)
    wait_until(lambda: not list(settings.workspace_directory.iterdir()))


def test_a_worker_that_is_asked_to_stop_gives_its_job_back(client: httpx.Client, processes: Processes) -> None:
    worker = processes.start_worker()
    job = submit(client, "sleep at first")
    wait_until(lambda: get(client, job)["progress"] is not None)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert get(client, job)["status"] == "interrupted"
    processes.start_worker()
    assert get(client, job, 60)["status"] == "succeeded"


def test_a_lost_message_is_sent_again(client: httpx.Client, processes: Processes, redis_socket: Path) -> None:
    job = submit(client, "succeed")
    with redis.Redis(unix_socket_path=str(redis_socket), db=BROKER_DB) as broker:
        wait_until(lambda: bool(broker.keys("q:*")))
        broker.flushdb()
    processes.start("-m", "celery", "--app", "worker.app", "worker")  # the settings of the application are enough
    assert get(client, job, 60)["status"] == "succeeded"
