"""A supervisor on stores in memory and on disk, with a fake runner as its child."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.artifacts.local import LocalArtifacts
from jobs.record import JobRecord, ModelRecord
from jobs.settings import Settings
from jobs.spec import JobSpec
from jobs.status import JobStatus
from jobs.stores.memory import MemoryStore
from tests.uploads import keras_file
from worker.supervisor import Supervisor

RUNNER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("fake_runner.py")))


@dataclass
class Workshop:
    """A supervisor and what is around it."""

    store: MemoryStore
    artifacts: LocalArtifacts
    settings: Settings
    stopping: threading.Event
    supervisor: Supervisor
    model_id: str

    def submit(self, behaviour: str, **changes: Any) -> str:
        """Create a job whose child behaves like that."""
        spec = {"model": self.model_id, "dataset": "digits", "name": behaviour, "pruning": {"ratio": 0.5}, **changes}
        return self.store.create(JobSpec.model_validate(spec))[0].id

    def run(self, behaviour: str, **changes: Any) -> JobRecord:
        """Run such a job to its end."""
        job_id = self.submit(behaviour, **changes)
        self.supervisor.run(job_id)
        return self.store.get(job_id)

    def run_aside(self, job_id: str) -> threading.Thread:
        """Run a job in a thread, and return once the child has told of its progress."""
        thread = threading.Thread(target=self.supervisor.run, args=(job_id,))
        thread.start()
        wait_until(lambda: self.store.get(job_id).progress is not None)
        return thread

    def leftovers(self) -> list[str]:
        """Return what is left in the workspace."""
        return [path.name for path in self.settings.workspace_directory.iterdir()]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread or process does."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 30 seconds")


@pytest.fixture
def make_workshop(tmp_path: Path) -> Callable[..., Workshop]:
    def make(**changes: Any) -> Workshop:
        fields = {"poll_seconds": 0.05, "heartbeat_seconds": 0.1, "grace_seconds": 1, "data_directory": tmp_path}
        settings = Settings(**{**fields, **changes})
        store, artifacts, stopping = MemoryStore(), LocalArtifacts(settings.artifacts_directory), threading.Event()
        blob = artifacts.add("models", io.BytesIO(keras_file()))
        model = ModelRecord(
            id=blob.identifier("mdl_"),
            filename="small.keras",
            format="keras",
            size_bytes=blob.size_bytes,
            sha256=blob.sha256,
            layers=("stem",),
            created_at=datetime.now(UTC),
        )
        store.add_input(model)
        supervisor = Supervisor(store, artifacts, settings, stopping, RUNNER)
        return Workshop(store, artifacts, settings, stopping, supervisor, model.id)

    return make


@pytest.fixture
def workshop(make_workshop: Callable[..., Workshop]) -> Workshop:
    return make_workshop()


def assert_crashed(job: JobRecord, reason: str) -> None:
    """Check that a job failed because its child did."""
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "crashed"
    assert reason in job.error.detail
