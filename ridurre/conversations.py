"""What both clients say to the service, request by request; see docs/http-api.md."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ridurre.answers import job_of, json_of, parse
from ridurre.download import Download
from ridurre.errors import RidurreError, ServiceUnavailableError, ServiceUnreachableError, WaitTimeoutError
from ridurre.objects import Artifact, Event, Job, Uploaded
from ridurre.options import given, plain
from ridurre.patience import Patience
from ridurre.steps import Call, Fetch, Flow, Pause
from ridurre.target import check_file_target

LONG_POLL_SECONDS = 20.0
MAX_FAILURES_IN_A_ROW = 6
CANDIDATE = "candidate-"
"""What the names of artifacts of candidates start with."""

OnEvent = Callable[[Event], None]


def upload(collection: str, path: Path) -> Flow[Uploaded]:
    """Send a file to `models` or `datasets`."""
    require_file(collection, path)
    response = yield Call("POST", f"/v1/{collection}", params={"filename": path.name}, file=path)
    return parse(Uploaded, json_of(response))


def require_file(collection: str, path: Path) -> None:
    """Do nothing if there is a file to send.

    Raises:
        RidurreError: There is none.
    """
    if not path.is_file():
        raise RidurreError(f"There is no file {path}.", field=collection.removesuffix("s"), expected="a readable file")


def submit(
    model: Uploaded | str,
    dataset: Uploaded | str | None,
    name: str | None,
    training: Mapping[str, Any] | None,
    pruning: Mapping[str, Any],
) -> Flow[Job]:
    """Create a job. The idempotency key makes it safe to ask again after a broken connection."""
    spec: dict[str, Any] = {
        "model": model.id if isinstance(model, Uploaded) else model,
        "dataset": dataset.id if isinstance(dataset, Uploaded) else dataset,
        "pruning": plain(given(pruning), "pruning"),
    }
    if name is not None:
        spec["name"] = name
    if training is not None:
        spec["training"] = plain(given(training), "training")
    call = Call("POST", "/v1/jobs", json=spec, headers={"Idempotency-Key": uuid.uuid4().hex})
    return job_of((yield from persistently(call)))


def job(job_id: str) -> Flow[Job]:
    """Ask for one job."""
    return job_of((yield Call("GET", job_path(job_id))))


def jobs(status: str | None, limit: int) -> Flow[list[Job]]:
    """Ask for jobs, newest first, page by page."""
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


def poll_events(
    job_id: str, after: str | None, wait_seconds: float, patience: Patience
) -> Flow[tuple[list[Event], str | None]]:
    """Ask for the events after a cursor, waiting for the first; return them and the new cursor."""
    params = given({"after": after, "wait": round(wait_seconds, 3)})
    call = Call("GET", f"{job_path(job_id)}/events", params=params, timeout_seconds=wait_seconds + 30)
    body = json_of((yield from patiently(call, patience)))
    return [parse(Event, item) for item in body["items"]], body.get("cursor") or after


def wait(job_id: str, timeout_seconds: float | None, on_event: OnEvent | None, patience: Patience) -> Flow[Job]:
    """Follow a job to its end by long-polling, through outages of the service."""
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    cursor: str | None = None
    while True:
        remaining = LONG_POLL_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
        events, cursor = yield from poll_events(job_id, cursor, min(LONG_POLL_SECONDS, remaining), patience)
        for event in events:
            if on_event is not None:
                on_event(event)
        expired = deadline is not None and time.monotonic() >= deadline
        # The job itself is asked whenever the events fall silent: they may have been trimmed.
        if not events or events[-1].terminal or expired:
            current = job_of((yield from patiently(Call("GET", job_path(job_id)), patience)))
            if current.finished:
                return current
            if expired:
                raise WaitTimeoutError(
                    f"Job {job_id} is still {current.status} after {timeout_seconds} seconds.",
                    hint="It goes on; wait again, or cancel it.",
                )


def cancel(job_id: str) -> Flow[Job]:
    """Ask for a job to be cancelled."""
    return job_of((yield Call("POST", f"{job_path(job_id)}/cancel")))


def delete(job_id: str) -> Flow[None]:
    """Remove a finished job with all it left."""
    yield Call("DELETE", job_path(job_id))


def artifacts(job_id: str) -> Flow[list[Artifact]]:
    """Ask what a job produced."""
    body = json_of((yield Call("GET", f"{job_path(job_id)}/artifacts")))
    return [parse(Artifact, item) for item in body["items"]]


def download(job_id: str, name: str, target: Path) -> Flow[Path]:
    """Fetch one artifact; a folder as the target takes it under its own name."""
    if target.is_dir():
        target = target / name
    check_file_target(target)
    yield Fetch(Download(f"{job_path(job_id)}/artifacts/{quote(name, safe='')}", target))
    return target


def download_candidate(job_id: str, candidate: str, target: Path) -> Flow[Path]:
    """Fetch the model of a candidate, given by its name in the report."""
    found = yield from artifacts(job_id)
    for each in found:
        if each.candidate == candidate and each.name.endswith(".keras"):
            return (yield from download(job_id, each.name, target))
    known = dict.fromkeys(each.candidate for each in found if each.candidate is not None)
    raise RidurreError(
        f"Job {job_id} has no file of such a candidate.",
        field="candidate",
        received=candidate,
        expected=f"one of {', '.join(known)}" if known else "a candidate of a job that has succeeded",
    )


def download_candidates(job_id: str, folder: Path) -> Flow[list[Path]]:
    """Fetch all candidates and their plans into a folder, under the names that they have in the report."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for each in (yield from artifacts(job_id)):
        if each.candidate is not None:
            paths.append((yield from download(job_id, each.name, folder / each.name.removeprefix(CANDIDATE))))
    return paths


def job_path(job_id: str) -> str:
    """Return the path of a job; an id with a slash in it must not reach another resource."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def patiently(call: Call, patience: Patience) -> Flow[Any]:
    """Make a call for somebody who waits, through outages of minutes."""
    while True:
        try:
            answer = yield call
        except (ServiceUnreachableError, ServiceUnavailableError) as error:
            yield Pause(patience.pause_after(error))
        else:
            patience.restored()
            return answer


def persistently(call: Call) -> Flow[Any]:
    """Make a call that may be repeated without harm, again and again through short outages."""
    failures = 0
    while True:
        try:
            return (yield call)
        except (ServiceUnreachableError, ServiceUnavailableError):
            failures += 1
            if failures >= MAX_FAILURES_IN_A_ROW:
                raise
        yield Pause(min(0.1 * 2.0**failures, 5.0))
