"""JobStore: what every backend has to do, atomically."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from jobs.record import ArtifactRecord, DatasetRecord, Event, JobError, JobRecord, ModelRecord, Page, Progress
from jobs.spec import JobSpec
from jobs.status import JobStatus

FIRST_CURSOR = "0-0"
EVENTS_KEPT = 1000
IDEMPOTENCY_SECONDS = 7 * 24 * 3600
REPUBLISH_DOUBLINGS = 6

Input = TypeVar("Input", ModelRecord, DatasetRecord)


@dataclass(frozen=True)
class Claim:
    """A job held by one worker: every write carries the fence, a stale fence is refused."""

    job: JobRecord
    fence: int


@dataclass(frozen=True)
class Outcome:
    """How a job ends; `goal_met` and `stopped_because` are those of a report."""

    status: JobStatus
    error: JobError | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[ArtifactRecord] = ()
    goal_met: bool | None = None
    stopped_because: str | None = None

    def __post_init__(self) -> None:
        if not self.status.is_finished:
            raise ValueError(f"A job cannot end as {self.status}. Expected a finished status.")


class JobStore(ABC):
    """Jobs, their events, and what is known of uploads. Every method is atomic and safe across threads.

    Every method may raise `StoreUnavailableError`. Times are the store's own clock, so that workers need
    not agree on one.
    """

    @abstractmethod
    def ping(self) -> None:
        """Return if the store can be reached."""

    # Jobs ------------------------------------------------------------------------------------------------

    @abstractmethod
    def create(self, spec: JobSpec, idempotency_key: str | None = None) -> tuple[JobRecord, bool]:
        """Queue a job; return it and whether it is new.

        Counts as published: the caller publishes it next, and `take_publication` makes good if it dies first.

        Raises:
            SpecError: The spec names an upload that does not exist.
            ConflictError: The key was used for another spec.
        """

    @abstractmethod
    def get(self, job_id: str) -> JobRecord:
        """Return a job, or raise `NotFoundError`."""

    @abstractmethod
    def list_jobs(self, status: JobStatus | None = None, limit: int = 50, cursor: str | None = None) -> Page[JobRecord]:
        """Return jobs, newest first; `SpecError` for a cursor that is none of ours."""

    @abstractmethod
    def request_cancel(self, job_id: str) -> JobRecord:
        """Cancel a job that no worker holds; ask the worker of a running one. `ConflictError` if finished."""

    @abstractmethod
    def delete(self, job_id: str) -> None:
        """Forget a finished job with its events; `ConflictError` while it is unfinished."""

    # Workers ---------------------------------------------------------------------------------------------

    @abstractmethod
    def claim(self, job_id: str, lease_seconds: float) -> Claim | None:
        """Take a waiting job; `None` if it is gone, held or finished, or somebody else was faster."""

    @abstractmethod
    def renew(self, job_id: str, fence: int, lease_seconds: float) -> JobRecord:
        """Extend the lease, or take up again a job that ran out of it and that nobody else has claimed.

        Raises:
            LeaseLostError: The fence is stale, or the job is finished or gone.
        """

    @abstractmethod
    def update_progress(self, job_id: str, fence: int, progress: Progress, metrics: Mapping[str, float]) -> None:
        """Replace progress and metrics and append an event; `LeaseLostError` as in `renew`."""

    @abstractmethod
    def finish(self, job_id: str, fence: int, outcome: Outcome) -> JobRecord:
        """Commit the one result of a job by compare-and-set; `LeaseLostError` unless running under `fence`."""

    @abstractmethod
    def release(self, job_id: str, fence: int) -> JobRecord:
        """Give a running job back, to be started again at once; `LeaseLostError` as in `finish`."""

    @abstractmethod
    def expire(self, job_id: str, max_attempts: int) -> JobRecord | None:
        """End a lease that ran out: interrupted, cancelled if asked for, failed after `max_attempts` of these.

        Returns:
            The changed job, or `None` if its lease is good or it is not running.
        """

    @abstractmethod
    def take_publication(self, job_id: str, after_seconds: float) -> bool:
        """Return whether the caller should publish a waiting job now, and note that it does.

        True at once for an interrupted job, then after `after_seconds`, then ever more rarely, so that jobs
        in a long queue do not flood the broker.
        """

    # Events ----------------------------------------------------------------------------------------------

    @abstractmethod
    def read_events(self, job_id: str, after: str = FIRST_CURSOR, limit: int = 100) -> list[Event]:
        """Return events after a cursor, oldest first. `NotFoundError`; `SpecError` for a bad cursor."""

    @abstractmethod
    def changes(self, should_stop: Callable[[], bool]) -> Iterator[str | None]:
        """Yield the id of each job that changes, from the first `None` on, and `None` about every half second.

        A hint, not a log: a change may be missed while the connection is lost, so look again now and then.
        """

    # Uploads ---------------------------------------------------------------------------------------------

    @abstractmethod
    def add_input(self, record: Input) -> tuple[Input, bool]:
        """Remember an upload; return it, or the one that already has its id, and whether it is new."""

    @abstractmethod
    def get_input(self, kind: type[Input], input_id: str) -> Input:
        """Return what is known of a model or dataset, or raise `NotFoundError`."""

    @abstractmethod
    def list_inputs(self, kind: type[Input], limit: int = 50, cursor: str | None = None) -> Page[Input]:
        """Return uploads of a kind, newest first; `SpecError` for a cursor that is none of ours."""

    @abstractmethod
    def delete_input(self, kind: type[Input], input_id: str) -> None:
        """Forget an upload. `NotFoundError`; `ConflictError` while an unfinished job needs it."""
