import threading
import time

import pytest

from jobs.errors import StoreUnavailableError
from jobs.settings import Settings
from jobs.status import JobStatus
from tests.worker.conftest import Workshop, wait_until
from worker.sweep import Sweeper

pytestmark = pytest.mark.fast


@pytest.fixture
def published() -> list[str]:
    return []


@pytest.fixture
def sweeper(workshop: Workshop, published: list[str]) -> Sweeper:
    return Sweeper(workshop.store, published.append, Settings(republish_seconds=0.2, sweep_seconds=0.05))


def test_a_healthy_service_is_left_alone(workshop: Workshop, sweeper: Sweeper, published: list[str]) -> None:
    running, _ = workshop.submit("succeed"), workshop.submit("succeed")
    workshop.store.claim(running, 30)
    sweeper.sweep()
    assert published == []
    assert workshop.store.get(running).status is JobStatus.RUNNING


def test_a_job_that_lost_its_worker_is_published_again(
    workshop: Workshop, sweeper: Sweeper, published: list[str]
) -> None:
    job = workshop.submit("succeed")
    workshop.store.claim(job, 0.01)
    time.sleep(0.05)
    for _ in range(3):
        sweeper.sweep()
    assert published == [job]
    assert workshop.supervisor.run(job) is JobStatus.SUCCEEDED
    assert workshop.store.get(job).attempt == 2


def test_a_job_that_kills_its_workers_fails(workshop: Workshop, sweeper: Sweeper, published: list[str]) -> None:
    job = workshop.submit("succeed")
    for _ in range(3):
        workshop.store.claim(job, 0.01)
        time.sleep(0.05)
        sweeper.sweep()
    assert published == [job, job]
    failed = workshop.store.get(job)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert failed.error.code == "crashed"


def test_a_lost_message_is_sent_again_ever_more_rarely(
    workshop: Workshop, sweeper: Sweeper, published: list[str]
) -> None:
    job = workshop.submit("succeed")
    time.sleep(0.25)
    for _ in range(5):
        sweeper.sweep()
    assert published == [job]


def test_sweeping_goes_on_after_a_failure(
    workshop: Workshop, sweeper: Sweeper, published: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [StoreUnavailableError("away"), RuntimeError("odd")]
    list_jobs = workshop.store.list_jobs

    def fail_first(*arguments: object, **options: object) -> object:
        if failures:
            raise failures.pop()
        return list_jobs(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(workshop.store, "list_jobs", fail_first)
    job, stopping = workshop.submit("succeed"), threading.Event()
    thread = threading.Thread(target=sweeper.run, args=(stopping,))
    thread.start()
    wait_until(lambda: job in published)
    stopping.set()
    thread.join(10)
