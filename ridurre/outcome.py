"""The whole story in one call: upload, submit, wait, download."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruning.report import as_version_2
from ridurre.conversations import OnEvent, download, require_file, submit, upload, wait
from ridurre.errors import RidurreError
from ridurre.objects import Job, Uploaded
from ridurre.patience import OUTAGE_SECONDS, OnOutage, Patience
from ridurre.steps import Flow
from ridurre.target import check_model_target


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


def prune(
    model_path: Path,
    data: Path | str | None,
    out: Path | None,
    name: str | None,
    training: Mapping[str, Any] | None,
    pruning: Mapping[str, Any],
    on_event: OnEvent | None,
    on_outage: OnOutage | None = None,
) -> Flow[Pruned]:
    """Upload, submit, wait and download the pruned model."""
    require_file("models", model_path)
    target = check_model_target(out or default_target(model_path))
    model = yield from upload("models", model_path)
    dataset = yield from dataset_of(data)
    job = yield from submit(model, dataset, name, training, pruning)
    job = (
        yield from wait(job.id, None, on_event, Patience(job.id, OUTAGE_SECONDS, on_outage))
    ).raise_unless_succeeded()
    with naming_the_job(job.id):
        path = yield from download(job.id, "pruned.keras", target)
        report = yield from report_of(job.id)
    return Pruned(job=job, path=path, report=report)


@contextmanager
def naming_the_job(job_id: str) -> Iterator[None]:
    """Make errors after a job say which it is, for its results are still on the service."""
    hint = f"Job {job_id} has succeeded and the service keeps its results: ridurre download {job_id}"
    try:
        yield
    except RidurreError as error:
        error.hint = hint if error.hint is None else f"{error.hint} {hint}"
        raise
    except OSError as error:
        raise RidurreError(f"The results could not be written: {error}", hint=hint) from error


def dataset_of(data: Path | str | None) -> Flow[Uploaded | str | None]:
    """Upload a file; take anything else that is written as text for an id or the name of a built-in dataset."""
    if data is None:
        return None
    if isinstance(data, str) and not Path(data).exists() and Path(data).suffix == "":
        return data
    return (yield from upload("datasets", Path(data)))


def report_of(job_id: str) -> Flow[dict[str, Any]]:
    """Fetch and read `report.json`, with its digest checked like any other artifact's.

    What an older worker wrote is put in today's words.
    """
    with tempfile.TemporaryDirectory(prefix="ridurre-") as folder:
        path = yield from download(job_id, "report.json", Path(folder))
        return as_version_2(json.loads(path.read_text(encoding="utf-8")))


def default_target(model_path: Path) -> Path:
    """Return where a pruned model goes if nobody says: beside the original."""
    return model_path.with_name(f"{model_path.stem}.pruned.keras")
