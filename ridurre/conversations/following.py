"""Following a job: to its end by long-polling, or event by event over server-sent events."""

from __future__ import annotations

import time
from collections.abc import Callable

from httpx_sse import SSEError

from ridurre.answers import job_of, json_of, parse
from ridurre.conversations.jobs import job, job_path
from ridurre.conversations.retries import patiently
from ridurre.errors import ServiceUnavailableError, ServiceUnreachableError, WaitTimeoutError
from ridurre.events import ConnectionLoss, EventReader
from ridurre.objects import Event, Job
from ridurre.options import given
from ridurre.patience import OUTAGE_SECONDS, OnOutage, Patience
from ridurre.steps import Call, Feed, Flow, Next, Open, Pause

LONG_POLL_SECONDS = 20.0

OnEvent = Callable[[Event], None]


def wait(
    job_id: str,
    *,
    timeout_seconds: float | None = None,
    on_event: OnEvent | None = None,
    outage_seconds: float = OUTAGE_SECONDS,
    on_outage: OnOutage | None = None,
) -> Flow[Job]:
    """Return the job once it is finished, however it ended; see `Job.raise_unless_succeeded`.

    Args:
        job_id: Which job.
        timeout_seconds: How long to wait at most.
        on_event: Called with each event.
        outage_seconds: How long to bear a service that does not answer, meanwhile.
        on_outage: Called once in each outage of more than a moment; by default a warning is logged.

    Raises:
        WaitTimeoutError: It is not finished after `timeout_seconds`.
    """
    longest = outage_seconds if timeout_seconds is None else min(outage_seconds, timeout_seconds)
    patience = Patience(job_id, longest, on_outage)
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    cursor: str | None = None
    while True:
        remaining = LONG_POLL_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
        found, cursor = yield from _poll(job_id, cursor, min(LONG_POLL_SECONDS, remaining), patience)
        for event in found:
            if on_event is not None:
                on_event(event)
        expired = deadline is not None and time.monotonic() >= deadline
        # The job itself is asked whenever the events fall silent: they may have been trimmed.
        if not found or found[-1].terminal or expired:
            current = job_of((yield from patiently(Call("GET", job_path(job_id)), patience)))
            if current.finished:
                return current
            if expired:
                raise WaitTimeoutError(
                    f"Job {job_id} is still {current.status} after {timeout_seconds} seconds.",
                    hint="The job continues. Wait again, or cancel it.",
                )


def events(
    job_id: str,
    *,
    after: str | None = None,
    outage_seconds: float = OUTAGE_SECONDS,
    on_outage: OnOutage | None = None,
) -> Feed[Event]:
    """Yield the job's events after a cursor, as they come, up to the terminal one.

    Args:
        job_id: Which job.
        after: The `id` of an event; default: from the first one on.
        outage_seconds: How long to bear a service that does not answer, meanwhile.
        on_outage: Called once in each outage of more than a moment; by default a warning is logged.
    """
    reader = EventReader(after, Patience(job_id, outage_seconds, on_outage))
    while not reader.ended:
        if reader.polling:
            found, _ = yield from _poll(job_id, reader.cursor, LONG_POLL_SECONDS, reader.patience)
            for event in found:
                yield reader.seen(event)
            if not found and (yield from job(job_id)).finished:
                return
            continue
        lost: ConnectionLoss | None = None
        call = Call("GET", _events(job_id), headers=reader.headers(), timeout_seconds=3 * LONG_POLL_SECONDS)
        try:
            stream = yield Open(call, as_events=True)
            while (message := (yield Next(stream))) is not None:
                if (accepted := reader.accept(message)) is not None:
                    yield accepted
        except (ServiceUnreachableError, SSEError, ServiceUnavailableError) as error:
            lost = error
        if not reader.ended:
            yield Pause(reader.lost(lost))


def _poll(
    job_id: str, after: str | None, wait_seconds: float, patience: Patience
) -> Flow[tuple[list[Event], str | None]]:
    """Ask for the events after a cursor, waiting for the first; return them and the new cursor."""
    params = given({"after": after, "wait": round(wait_seconds, 3)})
    call = Call("GET", _events(job_id), params=params, timeout_seconds=wait_seconds + 30)
    body = json_of((yield from patiently(call, patience)))
    return [parse(Event, item) for item in body["items"]], body.get("cursor") or after


def _events(job_id: str) -> str:
    return f"{job_path(job_id)}/events"
