import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from jobs.errors import StoreUnavailableError
from jobs.status import JobStatus
from tests.worker.conftest import Workshop, assert_crashed, wait_until

pytestmark = pytest.mark.fast


def test_a_success_is_committed_with_its_artifacts(workshop: Workshop) -> None:
    job = workshop.run("succeed")
    assert job.status is JobStatus.SUCCEEDED
    assert [artifact.name for artifact in job.artifacts] == [
        *("pruned.keras", "plan.json", "report.json", "history.json")
    ]
    for artifact in job.artifacts:
        data = workshop.artifacts.path(f"jobs/{job.id}", artifact.sha256).read_bytes()
        assert data.decode() == f"{artifact.name} of {job.id}"
        assert artifact.size_bytes == len(data)
    assert job.metrics == {"params": 10}, "the delivered model's figures, not those on the way"
    assert workshop.leftovers() == []


def test_a_job_without_a_word_of_its_goal_has_met_it(workshop: Workshop) -> None:
    job = workshop.run("succeed")
    assert (job.goal_met, job.stopped_because) == (True, None)
    assert workshop.run("fail").goal_met is None


def test_candidates_are_artifacts_and_the_delivered_one_is_there_twice_by_name_only(workshop: Workshop) -> None:
    job = workshop.run("candidates")
    assert (job.status, job.goal_met, job.stopped_because) == (JobStatus.SUCCEEDED, False, "it is missed")
    found = {artifact.name: artifact for artifact in job.artifacts}
    for candidate, file, is_baseline in (
        ("iteration-1", "candidates/iteration-1", False),
        ("iteration-2", None, False),
        ("b-0", "candidates/b-0", True),
    ):
        for suffix, delivered in ((".keras", "pruned.keras"), (".plan.json", "plan.json")):
            artifact = found[f"candidate-{candidate}{suffix}"]
            assert (artifact.candidate, artifact.is_baseline) == (candidate, is_baseline)
            data = workshop.artifacts.path(f"jobs/{job.id}", artifact.sha256).read_text()
            assert data == f"{delivered if file is None else file + suffix} of {job.id}"
    assert found["candidate-iteration-2.keras"].sha256 == found["pruned.keras"].sha256
    assert len(found) == len(job.artifacts) == 4 + 6


def test_progress_is_told_with_an_estimate(workshop: Workshop) -> None:
    job = workshop.run("succeed")
    events = [event.data for event in workshop.store.read_events(job.id) if event.kind == "progress"]
    assert [event["fraction"] for event in events] == [0.25, 0.5]
    assert [event["metrics"] for event in events] == [{"loss": 0.5}, {"accuracy": 0.75}]
    assert all(event["eta_seconds"] >= 0 for event in events)


def test_a_failure_keeps_its_reason(workshop: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    job = workshop.run("fail")
    assert "a trace for the operator" in caplog.text
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.hint) == ("training-failed", "Lower the learning rate.")


CRASHES = {
    "crash": "SIGKILL",
    "segfault": "SIGSEGV",
    "no result": "without a readable result",
    "exit 3": "status 3",
    "huge result": "without a readable result",
    "broken result": "without a readable result",
    "wrong result": "without a readable result",
    "missing output": "without pruned.keras",
    "pipe for a result": "without a readable result",
    "link elsewhere": "without pruned.keras",
    "candidate missing": "without candidates/iteration-2.keras",
    "candidate elsewhere": "without a readable result",
    "link candidates elsewhere": "without candidates/x.keras",
}


@pytest.mark.parametrize(("behaviour", "reason"), CRASHES.items())
def test_a_child_that_breaks_the_protocol_has_crashed(workshop: Workshop, behaviour: str, reason: str) -> None:
    assert_crashed(workshop.run(behaviour), reason)
    assert workshop.leftovers() == []
    assert workshop.run("succeed").status is JobStatus.SUCCEEDED


def test_a_runner_that_cannot_start_is_a_crash(workshop: Workshop, make_workshop: Callable[..., Workshop]) -> None:
    broken = make_workshop(runner_command=["/nothing/here"])
    broken.supervisor._command = ("/nothing/here",)
    assert_crashed(broken.run("succeed"), "status 1")


def test_nonsense_among_the_events_is_skipped(workshop: Workshop) -> None:
    job = workshop.run("chatter")
    assert job.status is JobStatus.SUCCEEDED
    assert job.metrics == {"params": 3}
    assert [event.data["phase"] for event in workshop.store.read_events(job.id) if event.kind == "progress"] == [
        "pruning"
    ]


@pytest.mark.parametrize("behaviour", ["sleep", "sleep through SIGTERM"])
def test_a_running_job_is_cancelled(workshop: Workshop, behaviour: str) -> None:
    job = workshop.submit(behaviour)
    thread = workshop.run_aside(job)
    workshop.store.request_cancel(job)
    thread.join(30)
    assert workshop.store.get(job).status is JobStatus.CANCELLED
    assert workshop.leftovers() == []


def test_what_a_child_started_dies_with_it(workshop: Workshop) -> None:
    job = workshop.submit("sleep with a child")
    thread = workshop.run_aside(job)
    progress = workshop.store.get(job).progress
    assert progress is not None
    assert progress.message is not None
    grandchild = int(progress.message.split()[-1])
    workshop.store.request_cancel(job)
    thread.join(30)
    wait_until(lambda: is_dead(grandchild))


def is_dead(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_a_job_that_takes_too_long_fails(make_workshop: Callable[..., Workshop]) -> None:
    job = make_workshop(job_time_limit_seconds=0.3).run("sleep")
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "time-limit"


def test_a_worker_that_stops_gives_its_job_back(workshop: Workshop) -> None:
    job = workshop.submit("sleep")
    thread = workshop.run_aside(job)
    workshop.stopping.set()
    thread.join(30)
    assert workshop.store.get(job).status is JobStatus.INTERRUPTED
    assert workshop.supervisor.run(job) is None
    assert workshop.store.take_publication(job, 60)


def test_a_message_that_comes_twice_does_nothing(workshop: Workshop) -> None:
    job = workshop.run("succeed")
    assert workshop.supervisor.run(job.id) is None
    assert workshop.supervisor.run("job_nothing") is None
    assert workshop.store.get(job.id) == job


def test_a_job_taken_by_another_is_left_alone(workshop: Workshop) -> None:
    job = workshop.submit("sleep")
    thread = workshop.run_aside(job)
    row = workshop.store._rows[job]
    row.fence += 1  # as if the lease had run out and another worker had claimed the job
    thread.join(30)
    assert workshop.store.get(job).status is JobStatus.RUNNING
    assert workshop.leftovers() == []


def test_a_child_is_gone_before_an_unreachable_lease_runs_out(
    make_workshop: Callable[..., Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = make_workshop(lease_seconds=1.2, grace_seconds=0.2)
    job = workshop.submit("sleep")
    thread = workshop.run_aside(job)

    def fail(*_: object) -> Any:
        raise StoreUnavailableError("Redis is unreachable")

    with monkeypatch.context() as patch:
        patch.setattr(workshop.store, "renew", fail)
        patch.setattr(workshop.store, "update_progress", fail)
        thread.join(30)
    assert not thread.is_alive()
    assert workshop.store.get(job).status is JobStatus.RUNNING
    wait_until(lambda: workshop.store.expire(job, 3) is not None)


def test_a_commit_survives_a_store_that_is_away_for_a_moment(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, failures = workshop.store.finish, [StoreUnavailableError("away"), StoreUnavailableError("away")]

    def fail_twice(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return finish(*arguments)

    monkeypatch.setattr(workshop.store, "finish", fail_twice)
    assert workshop.run("succeed").status is JobStatus.SUCCEEDED


def test_a_model_that_is_gone_fails_the_job(workshop: Workshop) -> None:
    (sha256,) = (path.name for path in (workshop.settings.artifacts_directory / "models").iterdir())
    workshop.artifacts.delete("models", sha256)
    job = workshop.run("succeed")
    assert job.error is not None
    assert job.error.code == "not-found"


def test_the_child_knows_next_to_nothing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@host")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = workshop.run("show environment")
    report = next(artifact for artifact in job.artifacts if artifact.name == "report.json")
    shown = json.loads(workshop.artifacts.path(f"jobs/{job.id}", report.sha256).read_bytes())
    environ = shown["environ"]
    assert environ["HOME"] == environ["TMPDIR"] == environ["KERAS_HOME"] == shown["cwd"]
    assert shown["cwd"].endswith("/work")
    assert environ["OMP_NUM_THREADS"] == "1"
    assert set(environ) <= {
        *("PATH", "LANG", "LC_CTYPE", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "KERAS_HOME", "KERAS_BACKEND"),
        *("TF_CPP_MIN_LOG_LEVEL", "HDF5_PLUGIN_PRELOAD", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
        *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_FORCE_GPU_ALLOW_GROWTH"),
    }
    assert os.environ["REDIS_URL"] not in str(environ)
