"""Supervisor: claims a job, runs it in a child, and commits what comes of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto

from jobs.artifacts.base import ArtifactStore
from jobs.errors import LeaseLostError, NotFoundError, StoreUnavailableError
from jobs.record import JobError
from jobs.settings import Settings
from jobs.status import JobStatus
from jobs.stores.base import Claim, JobStore, Outcome
from worker.child import DEFAULT_COMMAND, Child
from worker.directory import JobDirectory, job_directory
from worker.memory import oom_kills
from worker.outcome import crashed, outcome_of, timed_out
from worker.progress import ProgressTail

COMMIT_PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # outlasts a restart of Redis

logger = logging.getLogger(__name__)


class _End(Enum):
    """Why a supervisor stops a child that would go on."""

    CANCELLED = auto()
    TIMED_OUT = auto()
    LEASE_LOST = auto()
    STOPPING = auto()


class Supervisor:
    """Runs one job at a time. Safe to kill at any line: the lease runs out, and the job is started again."""

    def __init__(
        self,
        store: JobStore,
        artifacts: ArtifactStore,
        settings: Settings,
        stopping: threading.Event,
        command: Sequence[str] | None = None,
    ) -> None:
        """Prepare to run jobs.

        Args:
            stopping: When set, the job at hand is given back and nothing new is begun.
            command: Starts the child; default: that of the settings, else `worker.runner`.
        """
        self._store = store
        self._artifacts = artifacts
        self._settings = settings
        self._stopping = stopping
        self._command = tuple(command or settings.runner_command or DEFAULT_COMMAND)

    def run(self, job_id: str) -> JobStatus | None:
        """Run a job if nobody else does; return what became of it, `None` if it was not ours to decide."""
        if self._stopping.is_set():
            return None
        claim = self._store.claim(job_id, self._settings.lease_seconds)
        if claim is None:
            logger.info("%s is no longer waiting", job_id)
            return None
        logger.info("%s starts, attempt %d", job_id, claim.job.attempt)
        try:
            with job_directory(self._settings.workspace_directory, job_id, claim.fence) as directory:
                return self._run_claimed(claim, directory)
        except LeaseLostError:
            logger.warning("%s was given to another worker", job_id)
            return None

    def _run_claimed(self, claim: Claim, directory: JobDirectory) -> JobStatus | None:
        try:
            directory.prepare(claim.job, self._store, self._artifacts)
            outcome = self._supervise(claim, directory)
        except NotFoundError as error:
            outcome = Outcome(JobStatus.FAILED, error=JobError.from_exception(error))
        except OSError as error:
            logger.exception("%s could not be run", claim.job.id)
            outcome = crashed(f"The worker could not run the job: {error.strerror or type(error).__name__}.")
        if outcome is None:
            return self._store.release(claim.job.id, claim.fence).status
        return self._commit(claim, outcome)

    def _supervise(self, claim: Claim, directory: JobDirectory) -> Outcome | None:
        """Return how the job ended, or `None` if it has to be given back."""
        kills_before = oom_kills()
        watch = _Watch(claim, self._store, self._settings, self._stopping)
        tail = ProgressTail(directory)
        child = Child(self._command, directory.path, directory.work, directory.log)
        try:
            end = None
            while (returncode := child.wait(self._settings.poll_seconds)) is None and end is None:
                self._forward(claim, tail)
                end = watch.look()
            if end is not None and returncode is None:
                child.end(self._settings.grace_seconds)
        finally:
            child.kill()  # also what the child may have left behind in its group
        try:
            self._forward(claim, tail)
        finally:
            tail.close()
        if returncode is None:
            return self._stopped(claim, end)
        ran_out_of_memory = (oom_kills() or 0) > (kills_before or 0)
        outcome = outcome_of(returncode, directory, self._artifacts, claim.job.id, ran_out_of_memory=ran_out_of_memory)
        if outcome.status is JobStatus.FAILED:
            logger.warning("%s failed; the end of its log:\n%s", claim.job.id, directory.log_end())
        return replace(outcome, metrics=outcome.metrics or tail.metrics)

    def _stopped(self, claim: Claim, end: _End | None) -> Outcome | None:
        if end is _End.LEASE_LOST:
            raise LeaseLostError(f"the lease of {claim.job.id} could not be renewed")
        if end is _End.TIMED_OUT:
            return timed_out(self._settings.job_time_limit_seconds)
        return Outcome(JobStatus.CANCELLED) if end is _End.CANCELLED else None

    def _forward(self, claim: Claim, tail: ProgressTail) -> None:
        for step in tail.read():
            try:
                self._store.update_progress(claim.job.id, claim.fence, step.progress, step.metrics)
            except StoreUnavailableError:
                logger.warning("lost an event of %s: the store is unreachable", claim.job.id)
            except LeaseLostError:
                return  # `_Watch` decides what to do about it

    def _commit(self, claim: Claim, outcome: Outcome) -> JobStatus:
        """Finish the job; a store that is away for a moment must not cost hours of work."""
        for pause_seconds in COMMIT_PAUSES_SECONDS:
            time.sleep(pause_seconds)
            try:
                self._store.renew(claim.job.id, claim.fence, self._settings.lease_seconds)
                status = self._store.finish(claim.job.id, claim.fence, outcome).status
            except StoreUnavailableError:
                logger.warning("the result of %s cannot be committed yet", claim.job.id)
                continue
            logger.info("%s %s", claim.job.id, status)
            return status
        raise StoreUnavailableError(f"the result of {claim.job.id} could not be committed")


class _Watch:
    """Renews the lease, and looks for reasons to stop."""

    def __init__(self, claim: Claim, store: JobStore, settings: Settings, stopping: threading.Event) -> None:
        self._claim = claim
        self._store = store
        self._settings = settings
        self._stopping = stopping
        self._started = self._renewed = time.monotonic()

    def look(self) -> _End | None:
        """Return why the child has to stop now, if it has to."""
        now = time.monotonic()
        if self._stopping.is_set():
            return _End.STOPPING
        if now - self._started > self._settings.job_time_limit_seconds:
            return _End.TIMED_OUT
        job_id, fence = self._claim.job.id, self._claim.fence
        try:
            if now - self._renewed >= self._settings.heartbeat_seconds:
                job = self._store.renew(job_id, fence, self._settings.lease_seconds)
                self._renewed = now
            else:
                job = self._store.get(job_id)
        except (LeaseLostError, NotFoundError):
            return _End.LEASE_LOST
        except StoreUnavailableError:
            # Another worker may reach the store and claim the job: our child has to be gone by then.
            left_seconds = self._renewed + self._settings.lease_seconds - self._settings.grace_seconds - now
            return _End.LEASE_LOST if left_seconds <= 0 else None
        return _End.CANCELLED if job.cancel_requested else None
