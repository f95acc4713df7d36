"""The whole story in one call: upload, submit, wait, download."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridurre.conversations import OnEvent, download, submit, upload, wait
from ridurre.objects import Job, Uploaded
from ridurre.steps import Flow


@dataclass(frozen=True)
class Pruned:
    """What a prune on a service brought.

    Attributes:
        job: The finished job.
        path: The pruned model on this machine.
        report: The contents of `report.json`.
    """

    job: Job
    path: Path
    report: dict[str, Any]


def prune(
    model_path: Path,
    data: Path | str | None,
    out: Path | None,
    name: str | None,
    training: Mapping[str, Any] | None,
    pruning: Mapping[str, Any],
    on_event: OnEvent | None,
) -> Flow[Pruned]:
    """Upload, submit, wait and download the pruned model."""
    model = yield from upload("models", model_path)
    dataset = yield from dataset_of(data)
    job = yield from submit(model, dataset, name, training, pruning)
    job = (yield from wait(job.id, None, on_event)).raise_unless_succeeded()
    path = yield from download(job.id, "pruned.keras", out or default_target(model_path))
    report = yield from report_of(job.id)
    return Pruned(job=job, path=path, report=report)


def dataset_of(data: Path | str | None) -> Flow[Uploaded | str | None]:
    """Upload a file; take anything else that is written as text for an id or the name of a built-in dataset."""
    if data is None:
        return None
    if isinstance(data, str) and not Path(data).exists() and Path(data).suffix == "":
        return data
    return (yield from upload("datasets", Path(data)))


def report_of(job_id: str) -> Flow[dict[str, Any]]:
    """Fetch and read `report.json`, with its digest checked like any other artifact's."""
    with tempfile.TemporaryDirectory(prefix="ridurre-") as folder:
        path = yield from download(job_id, "report.json", Path(folder))
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def default_target(model_path: Path) -> Path:
    """Return where a pruned model goes if nobody says: beside the original."""
    return model_path.with_name(f"{model_path.stem}.pruned.keras")
