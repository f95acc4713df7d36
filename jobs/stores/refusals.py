"""What a job store refuses, said in the same words by every backend."""

from __future__ import annotations

from jobs.errors import ConflictError, LeaseLostError, NotFoundError
from jobs.record import JobError, JobRecord
from pruning.errors import SpecError


def not_found(kind: str, identifier: str) -> NotFoundError:
    """Say that there is no such thing."""
    return NotFoundError(
        f"There is no {kind} {identifier!r}.",
        field=f"{kind}_id",
        received=identifier,
        expected=f"the id of an existing {kind}",
        hint=f"List the existing {kind}s.",
    )


def no_artifact(job: JobRecord, name: str) -> NotFoundError:
    """Say that a job has no such artifact, or none yet."""
    if not job.is_finished:
        return NotFoundError(
            f"Job {job.id} is {job.status}. It has artifacts when it has succeeded.",
            field="name",
            received=name,
            expected="an artifact of a job that has succeeded",
            hint="Wait until the job is finished.",
        )
    names = ", ".join(artifact.name for artifact in job.artifacts)
    return NotFoundError(
        f"Job {job.id} has no artifact {name!r}. It {'' if names else f'is {job.status} and '}has {names or 'none'}.",
        field="name",
        received=name,
        expected=f"one of {names}" if names else "an artifact of a job that has succeeded",
    )


def missing_input(field_name: str, input_id: str) -> SpecError:
    """Say that a spec names an upload that does not exist."""
    return SpecError(
        f"There is no {field_name} {input_id!r}.",
        field=field_name,
        received=input_id,
        expected=f"the id of an uploaded {field_name}",
        hint=f"Upload it first, or list the existing {field_name}s.",
    )


def key_reused(idempotency_key: str) -> ConflictError:
    """Say that an idempotency key came with another spec."""
    return ConflictError(
        "The Idempotency-Key was used with another spec.",
        field="Idempotency-Key",
        received=idempotency_key,
        expected="the same spec as before, or a new key",
    )


def already_finished(job_id: str, status: str) -> ConflictError:
    """Say that a finished job cannot be cancelled."""
    return ConflictError(
        f"Job {job_id} is already {status}.", field="status", received=status, expected="an unfinished job"
    )


def still_unfinished(job_id: str, status: str) -> ConflictError:
    """Say that an unfinished job cannot be deleted."""
    return ConflictError(
        f"Job {job_id} is {status}.",
        field="status",
        received=status,
        expected="a finished job",
        hint="Cancel it first.",
    )


def still_needed(kind: str, input_id: str, job_id: str) -> ConflictError:
    """Say that an upload cannot be deleted yet, naming one job that needs it."""
    return ConflictError(
        f"The {kind} {input_id} is in use by job {job_id}.",
        field=f"{kind}_id",
        received=input_id,
        expected=f"a {kind} that no unfinished job uses",
        hint=f"Wait for job {job_id}, or cancel it.",
    )


def lease_lost(job_id: str) -> LeaseLostError:
    """Say that a worker no longer holds a job."""
    return LeaseLostError(f"Job {job_id} is no longer held with this fence.")


def crashed_too_often(max_attempts: int) -> JobError:
    """Say that a job's worker died too often."""
    return JobError.of(
        "crashed",
        f"The worker crashed {max_attempts} times while it ran the job.",
        hint="The machine may be out of memory. Try a smaller batch_size.",
    )
