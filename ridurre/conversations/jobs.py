"""Jobs: queue them, look at them, end them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Unpack
from urllib.parse import quote

from ridurre.answers import job_of, json_of, parse
from ridurre.conversations.retries import persistently
from ridurre.objects import Job, Uploaded
from ridurre.options import given, plain
from ridurre.pruning_options import PruningOptions
from ridurre.steps import Call, Flow


def submit(
    model: Uploaded | str,
    dataset: Uploaded | str | None = None,
    *,
    name: str | None = None,
    training: Mapping[str, Any] | None = None,
    **pruning: Unpack[PruningOptions],
) -> Flow[Job]:
    """Queue a job.

    Args:
        model: What `upload_model` returned, or an id.
        dataset: What `upload_dataset` returned, an id, or the name of a built-in dataset.
        name: A label.
        training: Fields of `TrainingSpec`, such as `{"fine_tuning_epochs": 2}`.
        pruning: Fields of `PruningSpec`, such as `criterion="kmeans", target_params=0.36`.
    """
    spec: dict[str, Any] = {
        "model": model.id if isinstance(model, Uploaded) else model,
        "dataset": dataset.id if isinstance(dataset, Uploaded) else dataset,
        "pruning": plain(given(pruning), "pruning"),
    }
    if name is not None:
        spec["name"] = name
    if training is not None:
        spec["training"] = plain(given(training), "training")
    # The idempotency key makes it safe to ask again after a broken connection.
    call = Call("POST", "/v1/jobs", json=spec, headers={"Idempotency-Key": uuid.uuid4().hex})
    return job_of((yield from persistently(call)))


def job(job_id: str) -> Flow[Job]:
    """Return a job as it is now."""
    return job_of((yield Call("GET", job_path(job_id))))


def jobs(status: str | None = None, *, limit: int = 100) -> Flow[list[Job]]:
    """Return at most `limit` jobs, newest first, of one status or of all."""
    found: list[Job] = []
    cursor: str | None = None
    while len(found) < limit:
        params = given({"status": status, "limit": min(limit - len(found), 100), "cursor": cursor})
        page = json_of((yield Call("GET", "/v1/jobs", params=params)))
        found += [parse(Job, item) for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found[:limit]


def cancel(job_id: str) -> Flow[Job]:
    """Ask for a job to be cancelled; it ends soon, not at once."""
    return job_of((yield Call("POST", f"{job_path(job_id)}/cancel")))


def delete(job_id: str) -> Flow[None]:
    """Remove a finished job with its events and artifacts."""
    yield Call("DELETE", job_path(job_id))


def job_path(job_id: str) -> str:
    """Return the path of a job; an id with a slash in it must not reach another resource."""
    return f"/v1/jobs/{quote(job_id, safe='')}"
