"""What every JobStore must do. A backend earns it by subclassing and giving the `store` fixture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from jobs.errors import ConflictError, LeaseLostError, NotFoundError
from jobs.record import ArtifactRecord, DatasetRecord, JobError, ModelRecord, Progress
from jobs.spec import JobSpec
from jobs.status import JobStatus
from jobs.stores.base import JobStore, Outcome
from pruning.errors import SpecError

LEASE_SECONDS = 30.0
MODEL = ModelRecord(
    id="mdl_" + "a" * 24,
    filename="small.keras",
    format="keras",
    size_bytes=10,
    sha256="a" * 64,
    layers=("stem", "block/conv"),
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
DATASET = DatasetRecord(
    id="dst_" + "b" * 24,
    filename="data.npz",
    format="npz",
    size_bytes=20,
    sha256="b" * 64,
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
SUCCEEDED = Outcome(
    JobStatus.SUCCEEDED,
    metrics={"val_accuracy": 0.5},
    artifacts=(
        ArtifactRecord(name="plan.json", media_type="application/json", size_bytes=2, sha256="c" * 64),
        ArtifactRecord(
            name="candidate-a.keras",
            media_type="application/zip",
            size_bytes=2,
            sha256="d" * 64,
            candidate="a",
            is_baseline=True,
        ),
    ),
    goal_met=False,
    stopped_because="\u201cratio\u201d is missed",
)
PROGRESS = Progress(phase="training", epoch=1, num_epochs=2, fraction=0.25, eta_seconds=3.5)


def make_spec(**changes: object) -> JobSpec:
    """Return a spec for the model above."""
    fields: dict[str, object] = {"model": MODEL.id, "dataset": "digits", "pruning": {"ratio": 0.5}, **changes}
    return JobSpec.model_validate(fields)


class JobStoreContract:
    """Inherit, and define a fixture `store` that is empty."""

    @pytest.fixture(autouse=True)
    def _with_a_model(self, store: JobStore) -> None:
        store.add_input(MODEL)

    # Creating, reading, listing

    def test_a_new_job_is_queued(self, store: JobStore) -> None:
        job, created = store.create(make_spec(name="label"))
        assert created
        assert (job.status, job.attempt, job.name) == (JobStatus.QUEUED, 0, "label")
        assert job.id.startswith("job_")
        assert job.spec == make_spec(name="label")
        assert store.get(job.id) == job

    def test_an_unknown_job_is_not_found(self, store: JobStore) -> None:
        for ask in (store.get, store.request_cancel, store.delete, store.read_events):
            with pytest.raises(NotFoundError):
                ask("job_nothing")
        assert store.claim("job_nothing", LEASE_SECONDS) is None
        assert store.expire("job_nothing", 3) is None
        assert not store.take_publication("job_nothing", 0)

    @pytest.mark.parametrize(("field", "value"), [("model", "mdl_nothing"), ("dataset", "dst_nothing")])
    def test_a_spec_with_an_unknown_upload_is_refused(self, store: JobStore, field: str, value: str) -> None:
        with pytest.raises(SpecError) as caught:
            store.create(make_spec(**{field: value}))
        assert (caught.value.field, caught.value.received) == (field, value)
        assert store.list_jobs().items == ()

    def test_the_same_key_and_spec_give_the_same_job(self, store: JobStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: store.create(make_spec(), "key"), range(24)))
        assert len({job.id for job, _ in answers}) == 1
        assert sum(created for _, created in answers) == 1

    def test_the_same_key_with_another_spec_is_a_conflict(self, store: JobStore) -> None:
        store.create(make_spec(), "key")
        with pytest.raises(ConflictError):
            store.create(make_spec(name="other"), "key")
        assert store.create(make_spec(name="other"), "another key")[1]

    def test_lists_are_newest_first_and_paged(self, store: JobStore) -> None:
        ids = [store.create(make_spec())[0].id for _ in range(5)]
        seen, cursor = [], None
        for _ in range(3):
            page = store.list_jobs(limit=2, cursor=cursor)
            seen += [job.id for job in page.items]
            cursor = page.next_cursor
        assert seen == ids[::-1]
        assert cursor is None

    def test_lists_can_be_narrowed_to_a_status(self, store: JobStore) -> None:
        waiting, running = (store.create(make_spec())[0].id for _ in range(2))
        store.claim(running, LEASE_SECONDS)
        assert [job.id for job in store.list_jobs(JobStatus.RUNNING).items] == [running]
        assert [job.id for job in store.list_jobs(JobStatus.QUEUED).items] == [waiting]
        assert store.list_jobs(JobStatus.FAILED).items == ()

    @pytest.mark.parametrize("cursor", ["", "*", "bm90aGluZw", "é"])
    def test_a_foreign_cursor_is_refused(self, store: JobStore, cursor: str) -> None:
        with pytest.raises(SpecError):
            store.list_jobs(cursor=cursor)

    # Claims, fences and leases

    def test_a_claim_starts_the_job(self, store: JobStore) -> None:
        job, _ = store.create(make_spec())
        claim = store.claim(job.id, LEASE_SECONDS)
        assert claim is not None
        assert (claim.job.status, claim.job.attempt) == (JobStatus.RUNNING, 1)
        assert claim.job.started_at is not None
        assert claim.job.version > job.version

    def test_of_many_claims_one_wins(self, store: JobStore) -> None:
        job, _ = store.create(make_spec())
        with ThreadPoolExecutor(8) as pool:
            claims = list(pool.map(lambda _: store.claim(job.id, LEASE_SECONDS), range(16)))
        assert sum(claim is not None for claim in claims) == 1

    def test_a_good_lease_is_kept(self, store: JobStore) -> None:
        job, fence = self._claimed(store)
        assert store.expire(job, 3) is None
        assert store.renew(job, fence, LEASE_SECONDS).status is JobStatus.RUNNING

    def test_a_lease_that_ran_out_interrupts(self, store: JobStore) -> None:
        job, fence = self._claimed(store, lease_seconds=0.01)
        time.sleep(0.05)
        expired = store.expire(job, 3)
        assert expired is not None
        assert expired.status is JobStatus.INTERRUPTED
        again = store.claim(job, LEASE_SECONDS)
        assert again is not None
        assert again.job.attempt == 2
        assert again.fence > fence

    def test_a_stale_fence_writes_nothing(self, store: JobStore) -> None:
        job, fence = self._claimed(store, lease_seconds=0.01)
        time.sleep(0.05)
        store.expire(job, 3)
        store.claim(job, LEASE_SECONDS)
        before = store.get(job)
        writes: list[Callable[[], object]] = [
            lambda: store.renew(job, fence, LEASE_SECONDS),
            lambda: store.update_progress(job, fence, PROGRESS, {}),
            lambda: store.finish(job, fence, SUCCEEDED),
            lambda: store.release(job, fence),
        ]
        for write in writes:
            with pytest.raises(LeaseLostError):
                write()
        assert store.get(job) == before

    def test_a_late_renewal_takes_the_job_up_again(self, store: JobStore) -> None:
        job, fence = self._claimed(store, lease_seconds=0.01)
        time.sleep(0.05)
        store.expire(job, 3)
        assert store.renew(job, fence, LEASE_SECONDS).status is JobStatus.RUNNING
        assert store.claim(job, LEASE_SECONDS) is None
        assert store.finish(job, fence, SUCCEEDED).status is JobStatus.SUCCEEDED

    def test_too_many_lost_leases_fail_the_job(self, store: JobStore) -> None:
        job, _ = store.create(make_spec())
        for _ in range(3):
            store.claim(job.id, 0.01)
            time.sleep(0.05)
            store.expire(job.id, 3)
        failed = store.get(job.id)
        assert failed.status is JobStatus.FAILED
        assert failed.error is not None
        assert failed.error.code == "crashed"
        assert store.claim(job.id, LEASE_SECONDS) is None

    def test_a_released_job_is_no_crash(self, store: JobStore) -> None:
        job, _ = store.create(make_spec())
        for _ in range(4):
            claim = store.claim(job.id, LEASE_SECONDS)
            assert claim is not None
            assert store.release(job.id, claim.fence).status is JobStatus.INTERRUPTED

    # Progress and results

    def test_progress_is_kept_and_told(self, store: JobStore) -> None:
        job, fence = self._claimed(store)
        store.update_progress(job, fence, PROGRESS, {"loss": 0.5})
        assert store.get(job).progress == PROGRESS
        assert store.get(job).metrics == {"loss": 0.5}
        event = store.read_events(job)[-1]
        assert event.kind == "progress"
        assert event.data["epoch"] == 1
        assert event.data["metrics"] == {"loss": 0.5}

    def test_a_job_finishes_once(self, store: JobStore) -> None:
        job, fence = self._claimed(store)
        done = store.finish(job, fence, SUCCEEDED)
        assert done.status is JobStatus.SUCCEEDED
        assert done.artifacts == SUCCEEDED.artifacts
        assert done.metrics == SUCCEEDED.metrics
        assert (done.goal_met, done.stopped_because) == (SUCCEEDED.goal_met, SUCCEEDED.stopped_because)
        assert done.finished_at is not None
        with pytest.raises(LeaseLostError):
            store.finish(job, fence, Outcome(JobStatus.FAILED))
        assert store.get(job) == done
        assert store.list_jobs(JobStatus.RUNNING).items == ()

    def test_a_failure_says_why(self, store: JobStore) -> None:
        job, fence = self._claimed(store)
        error = JobError.of("training-failed", 'loss is "nan"', field="training.learning_rate", hint="Lower it.")
        assert store.finish(job, fence, Outcome(JobStatus.FAILED, error=error)).error == error
        assert store.get(job).error == error
        assert store.read_events(job)[-1].data["error"] == error.model_dump(mode="json")

    # Cancelling and deleting

    def test_a_waiting_job_is_cancelled_at_once(self, store: JobStore) -> None:
        job, _ = store.create(make_spec())
        assert store.request_cancel(job.id).status is JobStatus.CANCELLED
        assert store.claim(job.id, LEASE_SECONDS) is None

    def test_a_running_job_is_asked_to_stop(self, store: JobStore) -> None:
        job, fence = self._claimed(store)
        assert store.request_cancel(job).cancel_requested
        assert store.request_cancel(job).status is JobStatus.RUNNING
        assert store.renew(job, fence, LEASE_SECONDS).cancel_requested
        assert store.finish(job, fence, Outcome(JobStatus.CANCELLED)).status is JobStatus.CANCELLED
        with pytest.raises(ConflictError):
            store.request_cancel(job)

    def test_a_cancelled_job_whose_worker_died_is_cancelled(self, store: JobStore) -> None:
        job, _ = self._claimed(store, lease_seconds=0.01)
        store.request_cancel(job)
        time.sleep(0.05)
        expired = store.expire(job, 3)
        assert expired is not None
        assert expired.status is JobStatus.CANCELLED

    def test_only_a_finished_job_can_be_deleted(self, store: JobStore) -> None:
        job, _ = store.create(make_spec(), "key")
        with pytest.raises(ConflictError):
            store.delete(job.id)
        store.request_cancel(job.id)
        store.delete(job.id)
        with pytest.raises(NotFoundError):
            store.get(job.id)
        assert store.list_jobs().items == ()
        assert store.list_jobs(JobStatus.CANCELLED).items == ()
        assert store.create(make_spec(), "key")[1]

    # Publication

    def test_a_new_job_counts_as_published(self, store: JobStore) -> None:
        job, _ = store.create(make_spec())
        assert not store.take_publication(job.id, 60)
        time.sleep(0.05)
        assert store.take_publication(job.id, 0.01)

    def test_an_interrupted_job_is_published_once_at_once(self, store: JobStore) -> None:
        job, fence = self._claimed(store)
        assert not store.take_publication(job, 60)
        store.release(job, fence)
        assert store.take_publication(job, 60)
        assert not store.take_publication(job, 60)

    # Events

    def test_events_tell_the_life_of_a_job(self, store: JobStore) -> None:
        job, fence = self._claimed(store)
        store.finish(job, fence, SUCCEEDED)
        events = store.read_events(job)
        assert [event.data["status"] for event in events] == ["queued", "running", "succeeded"]
        assert [event.is_last for event in events] == [False, False, True]

    def test_events_are_read_from_a_cursor(self, store: JobStore) -> None:
        job, fence = self._claimed(store)
        store.finish(job, fence, SUCCEEDED)
        first, second, third = store.read_events(job)
        assert store.read_events(job, first.id) == [second, third]
        assert store.read_events(job, first.id, limit=1) == [second]
        assert store.read_events(job, third.id) == []

    @pytest.mark.parametrize("cursor", ["", "x", "-1", "1-", "1-2-3", "$", "9" * 30])
    def test_a_foreign_event_cursor_is_refused(self, store: JobStore, cursor: str) -> None:
        job, _ = store.create(make_spec())
        with pytest.raises(SpecError):
            store.read_events(job.id, cursor)

    def test_changes_are_heard(self, store: JobStore) -> None:
        heard: list[str | None] = []
        listening, enough = threading.Event(), threading.Event()

        def listen() -> None:
            for job_id in store.changes(enough.is_set):
                listening.set()
                if job_id is not None:
                    heard.append(job_id)
                    enough.set()

        thread = threading.Thread(target=listen)
        thread.start()
        assert listening.wait(10)
        job, _ = store.create(make_spec())
        assert enough.wait(10)
        thread.join(10)
        assert heard == [job.id]

    # Uploads

    def test_an_upload_is_remembered_once(self, store: JobStore) -> None:
        assert store.add_input(DATASET) == (DATASET, True)
        renamed = DATASET.model_copy(update={"filename": "again.npz"})
        assert store.add_input(renamed) == (DATASET, False)
        assert store.get_input(DatasetRecord, DATASET.id) == DATASET
        assert store.list_inputs(DatasetRecord).items == (DATASET,)
        assert store.list_inputs(ModelRecord).items == (MODEL,)

    def test_a_dataset_is_no_model(self, store: JobStore) -> None:
        store.add_input(DATASET)
        with pytest.raises(NotFoundError):
            store.get_input(ModelRecord, DATASET.id)
        with pytest.raises(NotFoundError):
            store.delete_input(ModelRecord, DATASET.id)

    def test_an_upload_is_kept_while_a_job_needs_it(self, store: JobStore) -> None:
        store.add_input(DATASET)
        job, _ = store.create(make_spec(dataset=DATASET.id))
        with pytest.raises(ConflictError, match=job.id):
            store.delete_input(ModelRecord, MODEL.id)
        with pytest.raises(ConflictError, match=job.id):
            store.delete_input(DatasetRecord, DATASET.id)
        store.request_cancel(job.id)
        store.delete_input(ModelRecord, MODEL.id)
        store.delete_input(DatasetRecord, DATASET.id)
        assert store.list_inputs(ModelRecord).items == ()
        with pytest.raises(NotFoundError):
            store.get_input(DatasetRecord, DATASET.id)

    def _claimed(self, store: JobStore, lease_seconds: float = LEASE_SECONDS) -> tuple[str, int]:
        job, _ = store.create(make_spec())
        claim = store.claim(job.id, lease_seconds)
        assert claim is not None
        return job.id, claim.fence
