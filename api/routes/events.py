"""Events: what happened to a job, polled or streamed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.deps import Services, ServicesDep, Wait
from api.errors import problem_responses
from jobs.errors import NotFoundError
from jobs.record import Event
from jobs.stores.base import FIRST_CURSOR

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
KEEPALIVE_SECONDS = 15.0
BATCH = 200
STREAM = {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events"}


class EventList(BaseModel):
    """Events after a cursor."""

    items: list[Event]
    cursor: str


@router.get(
    "/{job_id}/events",
    summary="Poll or stream the events of a job",
    response_model=EventList,
    responses={**problem_responses(404, 422), 200: STREAM},
)
async def get_events(
    job_id: str,
    request: Request,
    services: ServicesDep,
    after: Annotated[str, Query(max_length=64, description="Cursor of the last event received.")] = FIRST_CURSOR,
    wait: Wait = 0,
    last_event_id: Annotated[str | None, Header(max_length=64, description="Same as `after`, for streams.")] = None,
) -> EventList | Response:
    """Ask for `text/event-stream` to get server-sent events; they end with the job."""
    if "text/event-stream" in request.headers.get("accept", ""):
        cursor = last_event_id or after
        first = await run_in_threadpool(services.store.read_events, job_id, cursor, BATCH)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return EventSourceResponse(_stream(services, job_id, cursor, first), headers=headers)
    events = await _wait_for_events(services, job_id, after, wait)
    return EventList(items=events, cursor=events[-1].id if events else after)


async def _wait_for_events(services: Services, job_id: str, after: str, wait_seconds: float) -> list[Event]:
    deadline = time.monotonic() + wait_seconds
    with services.wakeups.watch(job_id) as watch:
        while True:
            job = await run_in_threadpool(services.store.get, job_id)
            events = await run_in_threadpool(services.store.read_events, job_id, after, BATCH)
            left_seconds = deadline - time.monotonic()
            if events or job.is_finished or left_seconds <= 0 or services.wakeups.is_stopping:
                return events
            await watch.wait(left_seconds)


async def _stream(services: Services, job_id: str, cursor: str, events: list[Event]) -> AsyncIterator[bytes]:
    yield KEEPALIVE_COMMENT  # lets clients and proxies see at once that the stream is open
    while not services.wakeups.is_stopping:
        for event in events:
            yield format_sse_event(event=event.kind, id=event.id, data_str=event.model_dump_json())
            cursor = event.id
        if events and events[-1].is_last:
            return
        try:
            job = await run_in_threadpool(services.store.get, job_id)
            wait_seconds = 0 if job.is_finished else KEEPALIVE_SECONDS
            events = await _wait_for_events(services, job_id, cursor, wait_seconds)
        except NotFoundError:
            return  # deleted meanwhile
        if not events and job.is_finished:
            return
        if not events:
            yield KEEPALIVE_COMMENT
