"""MemoryStore: jobs in this process only. For tests and for trying things out."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from jobs.record import DatasetRecord, Event, JobRecord, ModelRecord, Page, Progress
from jobs.spec import JobSpec
from jobs.status import JobStatus
from jobs.stores import base, refusals
from jobs.stores.base import Claim, Input, JobStore, Outcome
from jobs.stores.cursors import parse_event_cursor
from jobs.stores.memory_rows import Row, page_of


class MemoryStore(JobStore):
    """Everything in dictionaries behind one lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._position = 0
        self._rows: dict[str, Row] = {}
        self._keys: dict[str, tuple[str, str]] = {}
        self._inputs: dict[str, tuple[int, ModelRecord | DatasetRecord]] = {}
        self._listeners: list[queue.SimpleQueue[str]] = []

    def ping(self) -> None:
        """Memory is always there."""

    def create(self, spec: JobSpec, idempotency_key: str | None = None) -> tuple[JobRecord, bool]:
        with self._lock:
            if idempotency_key is not None and idempotency_key in self._keys:
                digest, job_id = self._keys[idempotency_key]
                if digest != spec.digest():
                    raise refusals.key_reused(idempotency_key)
                return self._rows[job_id].job, False
            for field_name, input_id in spec.input_ids.items():
                if input_id not in self._inputs:
                    raise refusals.missing_input(field_name, input_id)
            job = JobRecord(
                id=f"job_{secrets.token_hex(12)}",
                name=spec.name,
                status=JobStatus.QUEUED,
                spec=spec,
                attempt=0,
                version=0,
                created_at=datetime.now(UTC),
            )
            row = Row(job, self._next_position(), idempotency_key, published_at=time.monotonic())
            self._rows[job.id] = row
            if idempotency_key is not None:
                self._keys[idempotency_key] = (spec.digest(), job.id)
            return self._change(row, {"status": "queued"}), True

    def get(self, job_id: str) -> JobRecord:
        return self._row(job_id).job

    def list_jobs(self, status: JobStatus | None = None, limit: int = 50, cursor: str | None = None) -> Page[JobRecord]:
        with self._lock:
            rows = [(row.position, row.job) for row in self._rows.values() if status in (None, row.job.status)]
        return page_of(rows, limit, cursor)

    def request_cancel(self, job_id: str) -> JobRecord:
        with self._lock:
            row = self._row(job_id)
            if row.job.is_finished:
                raise refusals.already_finished(job_id, row.job.status)
            if row.job.status is JobStatus.RUNNING:
                if row.job.cancel_requested:
                    return row.job
                return self._change(row, {"status": "running", "cancel_requested": True}, cancel_requested=True)
            return self._end(row, JobStatus.CANCELLED, cancel_requested=True)

    def delete(self, job_id: str) -> None:
        with self._lock:
            row = self._row(job_id)
            if not row.job.is_finished:
                raise refusals.still_unfinished(job_id, row.job.status)
            del self._rows[job_id]
            if row.idempotency_key is not None:
                del self._keys[row.idempotency_key]
            self._tell(job_id)

    def claim(self, job_id: str, lease_seconds: float) -> Claim | None:
        with self._lock:
            row = self._rows.get(job_id)
            if row is None or not row.job.status.is_claimable:
                return None
            row.fence += 1
            row.lease_until = time.monotonic() + lease_seconds
            attempt = row.job.attempt + 1
            job = self._change(
                row,
                {"status": "running", "attempt": attempt},
                status=JobStatus.RUNNING,
                attempt=attempt,
                started_at=row.job.started_at or datetime.now(UTC),
            )
            return Claim(job, row.fence)

    def renew(self, job_id: str, fence: int, lease_seconds: float) -> JobRecord:
        with self._lock:
            row = self._held(job_id, fence, JobStatus.RUNNING, JobStatus.INTERRUPTED)
            row.lease_until = time.monotonic() + lease_seconds
            if row.job.status is JobStatus.INTERRUPTED:
                data = {"status": "running", "attempt": row.job.attempt}
                return self._change(row, data, status=JobStatus.RUNNING)
            return row.job

    def update_progress(self, job_id: str, fence: int, progress: Progress, metrics: Mapping[str, float]) -> None:
        with self._lock:
            row = self._held(job_id, fence, JobStatus.RUNNING)
            data = {**progress.model_dump(mode="json"), "metrics": dict(metrics)}
            self._change(row, data, kind="progress", progress=progress, metrics=dict(metrics))

    def finish(self, job_id: str, fence: int, outcome: Outcome) -> JobRecord:
        with self._lock:
            row = self._held(job_id, fence, JobStatus.RUNNING)
            return self._end(
                row,
                outcome.status,
                error=outcome.error,
                artifacts=tuple(outcome.artifacts),
                metrics=dict(outcome.metrics),
                goal_met=outcome.goal_met,
                stopped_because=outcome.stopped_because,
            )

    def release(self, job_id: str, fence: int) -> JobRecord:
        with self._lock:
            return self._interrupt(self._held(job_id, fence, JobStatus.RUNNING))

    def expire(self, job_id: str, max_attempts: int) -> JobRecord | None:
        with self._lock:
            row = self._rows.get(job_id)
            if row is None or row.job.status is not JobStatus.RUNNING or row.lease_until > time.monotonic():
                return None
            row.num_crashes += 1
            if not row.job.cancel_requested and row.num_crashes >= max_attempts:
                return self._end(row, JobStatus.FAILED, error=refusals.crashed_too_often(max_attempts))
            return self._interrupt(row)

    def take_publication(self, job_id: str, after_seconds: float) -> bool:
        with self._lock:
            row = self._rows.get(job_id)
            if row is None or not row.job.status.is_claimable:
                return False
            doublings = min(max(row.num_publications - 1, 0), base.REPUBLISH_DOUBLINGS)
            if row.num_publications and time.monotonic() < row.published_at + after_seconds * 2**doublings:
                return False
            row.published_at = time.monotonic()
            row.num_publications += 1
            return True

    def read_events(self, job_id: str, after: str = base.FIRST_CURSOR, limit: int = 100) -> list[Event]:
        position = parse_event_cursor(after)
        with self._lock:
            events = list(self._row(job_id).events)
        return [event for event in events if parse_event_cursor(event.id) > position][:limit]

    def changes(self, should_stop: Callable[[], bool]) -> Iterator[str | None]:
        inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
        with self._lock:
            self._listeners.append(inbox)
        try:
            yield None
            while not should_stop():
                try:
                    yield inbox.get(timeout=0.5)
                except queue.Empty:
                    yield None
        finally:
            with self._lock:
                self._listeners.remove(inbox)

    def add_input(self, record: Input) -> tuple[Input, bool]:
        with self._lock:
            known = self._inputs.get(record.id)
            if known is not None and isinstance(known[1], type(record)):
                return known[1], False
            self._inputs[record.id] = (self._next_position(), record)
            return record, True

    def get_input(self, kind: type[Input], input_id: str) -> Input:
        with self._lock:
            known = self._inputs.get(input_id)
        if known is None or not isinstance(known[1], kind):
            raise refusals.not_found(kind.kind, input_id)
        return known[1]

    def list_inputs(self, kind: type[Input], limit: int = 50, cursor: str | None = None) -> Page[Input]:
        with self._lock:
            rows = [(position, record) for position, record in self._inputs.values() if isinstance(record, kind)]
        return page_of(rows, limit, cursor)

    def delete_input(self, kind: type[Input], input_id: str) -> None:
        with self._lock:
            self.get_input(kind, input_id)
            for row in self._rows.values():
                if not row.job.is_finished and input_id in row.job.spec.input_ids.values():
                    raise refusals.still_needed(kind.kind, input_id, row.job.id)
            del self._inputs[input_id]

    def _next_position(self) -> int:
        self._position += 1
        return self._position

    def _row(self, job_id: str) -> Row:
        with self._lock:
            if job_id not in self._rows:
                raise refusals.not_found("job", job_id)
            return self._rows[job_id]

    def _held(self, job_id: str, fence: int, *statuses: JobStatus) -> Row:
        row = self._rows.get(job_id)
        if row is None or row.fence != fence or row.job.status not in statuses:
            raise refusals.lease_lost(job_id)
        return row

    def _interrupt(self, row: Row) -> JobRecord:
        if row.job.cancel_requested:
            return self._end(row, JobStatus.CANCELLED)
        row.num_publications = 0
        return self._change(row, {"status": "interrupted"}, status=JobStatus.INTERRUPTED)

    def _end(self, row: Row, status: JobStatus, **changes: Any) -> JobRecord:
        data: dict[str, Any] = {"status": status.value}
        if changes.get("error") is not None:
            data["error"] = changes["error"].model_dump(mode="json")
        return self._change(row, data, status=status, finished_at=datetime.now(UTC), **changes)

    def _change(self, row: Row, data: dict[str, Any], kind: str = "status", **changes: Any) -> JobRecord:
        status = changes.get("status", row.job.status)
        if status is not row.job.status and not row.job.status.can_become(status):
            raise AssertionError(f"There is no transition from {row.job.status} to {status}.")
        row.job = row.job.model_copy(update={"version": row.job.version + 1, **changes})
        milliseconds = max(time.time_ns() // 1_000_000, row.last_event[0])
        sequence = row.last_event[1] + 1 if milliseconds == row.last_event[0] else 0
        row.last_event = (milliseconds, sequence)
        event = {"id": f"{milliseconds}-{sequence}", "kind": kind, "at": datetime.now(UTC), "data": data}
        row.events.append(Event.model_validate(event))
        self._tell(row.job.id)
        return row.job

    def _tell(self, job_id: str) -> None:
        for inbox in self._listeners:
            inbox.put(job_id)
