"""What the end of a child means for its job."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from jobs.artifacts.base import ArtifactStore, job_collection
from jobs.record import ArtifactRecord, JobError
from jobs.status import JobStatus
from jobs.stores.base import Outcome
from worker.candidates import FILES, FOLDER, MAX_FILES, NAME, artifact_name
from worker.directory import JobDirectory

MAX_RESULT_BYTES = 64 * 1024
MAX_METRICS = 200
OUTPUTS = {
    "pruned.keras": "application/zip",
    "plan.json": "application/json",
    "report.json": "application/json",
    "history.json": "application/json",
}


def _only_finite(metrics: object) -> object:
    """Leave out NaN and infinity: they are no JSON, and no reason to lose a result."""
    if not isinstance(metrics, dict):
        return metrics
    return {name: value for name, value in metrics.items() if not isinstance(value, float) or math.isfinite(value)}


MetricName = Annotated[str, Field(min_length=1, max_length=100)]
Metrics = Annotated[dict[MetricName, float], BeforeValidator(_only_finite), Field(max_length=MAX_METRICS)]
Text = Annotated[str, Field(max_length=8000)]


class _Result(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Candidate(_Result):
    name: Annotated[str, Field(pattern=NAME)]
    is_baseline: bool = False


class _Success(_Result):
    status: Literal["succeeded"]
    metrics: Metrics = {}
    goal_met: bool = True
    stopped_because: Text | None = None
    delivered: str | None = None
    candidates: Annotated[list[_Candidate], Field(max_length=MAX_FILES)] = []


class _ErrorFields(_Result):
    code: Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,63}$")]
    detail: Text
    field: Text | None = None
    received: Text | None = None
    expected: Text | None = None
    hint: Text | None = None


class _Failure(_Result):
    status: Literal["failed"]
    error: _ErrorFields
    metrics: Metrics = {}


_RESULT: TypeAdapter[_Success | _Failure] = TypeAdapter(_Success | _Failure)


def outcome_of(
    returncode: int, directory: JobDirectory, artifacts: ArtifactStore, job_id: str, *, ran_out_of_memory: bool
) -> Outcome:
    """Read what the child left and store its artifacts.

    Args:
        returncode: Exit status; negative for the signal that ended the child.
        ran_out_of_memory: Whether the kernel says that it killed for want of memory.
    """
    if returncode < 0:
        return _killed(-returncode, ran_out_of_memory)
    result = _read_result(directory)
    if result is None:
        return crashed(f"The job's process exited with status {returncode} without a readable result.")
    if isinstance(result, _Failure) and returncode in (0, 1):
        error = JobError.of(**result.error.model_dump())
        return Outcome(JobStatus.FAILED, error=error, metrics=result.metrics)
    if isinstance(result, _Failure) or returncode != 0:
        return crashed(f"The job's process exited with status {returncode}, which contradicts its result.")
    try:
        published = list(_published(result, directory, artifacts, job_id))
    except _MissingOutputError as error:
        return crashed(f"The job's process reported success without {error}.")
    return Outcome(
        JobStatus.SUCCEEDED,
        metrics=result.metrics,
        artifacts=published,
        goal_met=result.goal_met,
        stopped_because=result.stopped_because,
    )


def _published(
    result: _Success, directory: JobDirectory, artifacts: ArtifactStore, job_id: str
) -> Iterator[ArtifactRecord]:
    """Store what the child wrote; the candidate that is delivered has the delivered model's bytes."""

    def stored(name: str, media_type: str) -> ArtifactRecord:
        file = directory.open_regular(f"output/{name}")
        if file is None:
            raise _MissingOutputError(name)
        with file:
            blob = artifacts.add(job_collection(job_id), file)
        return ArtifactRecord(name=name, media_type=media_type, size_bytes=blob.size_bytes, sha256=blob.sha256)

    own = {name: stored(name, media_type) for name, media_type in OUTPUTS.items()}
    yield from own.values()
    for each in result.candidates:
        for suffix, delivered in FILES.items():
            record = own[delivered]
            if each.name != result.delivered:
                record = stored(f"{FOLDER}/{each.name}{suffix}", record.media_type)
            names = {"name": artifact_name(each.name, suffix), "candidate": each.name}
            yield record.model_copy(update={**names, "is_baseline": each.is_baseline})


class _MissingOutputError(Exception):
    """A file that a success has to have."""


def crashed(detail: str, hint: str | None = None) -> Outcome:
    """Return the failure of a child that did not say why."""
    return Outcome(JobStatus.FAILED, error=JobError.of("crashed", detail, hint=hint))


def timed_out(limit_seconds: float) -> Outcome:
    """Return the failure of a child that took too long."""
    error = JobError.of(
        "time-limit",
        f"The job ran longer than {limit_seconds:g} seconds.",
        expected=f"at most {limit_seconds:g} seconds",
        hint="Use fewer epochs or iterations, or ask the operator to increase RIDURRE_JOB_TIME_LIMIT_SECONDS.",
    )
    return Outcome(JobStatus.FAILED, error=error)


def _killed(number: int, ran_out_of_memory: bool) -> Outcome:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = "The machine may be out of memory. Try a smaller batch_size."
    if number == signal.SIGKILL and ran_out_of_memory:
        error = JobError.of(
            "out-of-memory", f"The job ran out of memory and was killed by the kernel ({name}).", hint=hint
        )
        return Outcome(JobStatus.FAILED, error=error)
    return crashed(f"The job's process was killed by {name}.", hint if number == signal.SIGKILL else None)


def _read_result(directory: JobDirectory) -> _Success | _Failure | None:
    file = directory.open_regular("result.json")
    if file is None:
        return None
    with file:
        text = file.read(MAX_RESULT_BYTES + 1)
    if len(text) > MAX_RESULT_BYTES:
        return None
    try:
        return _RESULT.validate_json(text)
    except ValidationError:
        return None
