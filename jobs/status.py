"""JobStatus and the table of its allowed transitions."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether the job can never change its status again."""
        return not TRANSITIONS[self]

    @property
    def is_claimable(self) -> bool:
        """Whether a worker may start the job."""
        return JobStatus.RUNNING in TRANSITIONS[self]

    def can_become(self, status: JobStatus) -> bool:
        """Return whether the table allows the step from this status to `status`."""
        return status in TRANSITIONS[self]


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.INTERRUPTED},
    ),
    JobStatus.INTERRUPTED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}

CLAIMABLE = tuple(status for status in JobStatus if status.is_claimable)
FINISHED = tuple(status for status in JobStatus if status.is_finished)
