"""What the service answers, as frozen values; fields unknown to this version are ignored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ridurre.errors import JobCancelledError, JobFailedError

FINISHED = frozenset({"succeeded", "failed", "cancelled"})


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Uploaded(_Answer):
    """A model (`mdl_…`) or dataset (`dst_…`) that the service keeps."""

    id: str
    filename: str
    format: str
    size_bytes: int
    sha256: str
    layers: tuple[str, ...] | None = None
    created_at: datetime | None = None


class Progress(_Answer):
    """How far a job is. `fraction` is the share of the whole job in 0..1."""

    phase: str | None = None
    iteration: int | None = None
    num_iterations: int | None = None
    epoch: int | None = None
    num_epochs: int | None = None
    fraction: float | None = None
    eta_seconds: float | None = None
    message: str | None = None


class Artifact(_Answer):
    """One file that a job produced; `candidate` is the name in the report of the model that it belongs to."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str
    candidate: str | None = None
    is_baseline: bool = False


class Job(_Answer):
    """A job as the service sees it.

    Where `goal_met` is false, the job has succeeded and its model is the nearest that was found; `stopped_because` says
    which limit it misses.
    """

    id: str
    status: str
    name: str | None = None
    spec: dict[str, Any] = {}
    attempt: int = 0
    cancel_requested: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Progress | None = None
    metrics: dict[str, float | None] | None = None
    error: dict[str, Any] | None = None
    goal_met: bool | None = None
    stopped_because: str | None = None
    artifacts: tuple[Artifact, ...] = ()

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of the candidates that have files, baselines among them; see `Client.download_candidate`."""
        return tuple(dict.fromkeys(each.candidate for each in self.artifacts if each.candidate is not None))

    @property
    def finished(self) -> bool:
        """Whether the job will not change any more."""
        return self.status in FINISHED

    def raise_unless_succeeded(self) -> Job:
        """Return the job itself if it succeeded.

        Raises:
            JobFailedError: The job failed; the error carries the reason's fields.
            JobCancelledError: The job was cancelled.
        """
        if self.status == "failed":
            raise JobFailedError(self.id, self.error or {})
        if self.status == "cancelled":
            raise JobCancelledError(self.id)
        return self


class Event(_Answer):
    """One line of a job's history; `id` is the cursor after it."""

    id: str
    kind: Literal["status", "progress"] | str
    at: datetime | None = None
    data: dict[str, Any] = {}

    @property
    def terminal(self) -> bool:
        """Whether no event follows."""
        return self.kind == "status" and self.data.get("status") in FINISHED


@dataclass(frozen=True)
class Pruned:
    """What a prune on a service brought.

    Attributes:
        job: The finished job.
        path: The pruned model on this machine.
        report: The contents of `report.json`, a `pruning.report.PruningReport`.
    """

    job: Job
    path: Path
    report: dict[str, Any]

    @property
    def goal_met(self) -> bool:
        """Whether the model is within all targets and `max_metric_drop`; else it is the nearest that was found."""
        return bool(self.report.get("goal_met", True))
