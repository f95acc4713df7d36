"""Following events: streams that break, streams that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from ridurre import AsyncClient, Client
from ridurre.errors import NotFoundError, ServiceUnreachableError, UnexpectedAnswerError
from tests.ridurre.conftest import URL, Call
from tests.ridurre.fake_service import EVENTS, JOB_ID, FakeService, event_stream
from tests.ridurre.test_download import BrokenStream

pytestmark = pytest.mark.fast

PATH = ("GET", f"/v1/jobs/{JOB_ID}/events")
STREAM = {"Content-Type": "text/event-stream"}
IDS = [event["id"] for event in EVENTS]


def test_events_come_up_to_the_terminal_one(call: Call, service: FakeService) -> None:
    events = call("events", JOB_ID)
    assert [event.id for event in events] == IDS
    assert [event.terminal for event in events] == [False, False, True]
    assert events[1].data["metrics"] == {"accuracy": 0.7}
    assert len(service.requests) == 1


def test_a_broken_stream_is_resumed_after_the_last_event(call: Call, service: FakeService) -> None:
    def break_off_once(request: httpx.Request) -> httpx.Response:
        if "Last-Event-ID" in request.headers:
            return service.events(request)
        half_an_event = event_stream(EVENTS[:1]) + event_stream(EVENTS[1:2])[:-20]
        return httpx.Response(200, stream=BrokenStream(half_an_event), headers=STREAM)

    service.answers[PATH] = break_off_once
    assert [event.id for event in call("events", JOB_ID)] == IDS
    assert [request.headers.get("Last-Event-ID") for request in service.requests] == [None, "1-0"]


def test_a_stream_that_just_ends_is_resumed_too(call: Call, service: FakeService) -> None:
    def one_at_a_time(request: httpx.Request) -> httpx.Response:
        following = [event for event in EVENTS if event["id"] > request.headers.get("Last-Event-ID", "")]
        return httpx.Response(200, content=event_stream(following[:1]), headers=STREAM)

    service.answers[PATH] = one_at_a_time
    assert [event.id for event in call("events", JOB_ID)] == IDS


def test_reading_on_after_a_cursor(call: Call) -> None:
    assert [event.id for event in call("events", JOB_ID, after="2-0")] == IDS[2:]


def test_nothing_after_the_terminal_event(call: Call) -> None:
    assert call("events", JOB_ID, after="3-0") == []


def test_where_nothing_streams_polling_does(call: Call, service: FakeService) -> None:
    def json_only(request: httpx.Request) -> httpx.Response:
        request.headers["Accept"] = "application/json"
        return service.events(request)

    service.answers[PATH] = json_only
    assert [event.id for event in call("events", JOB_ID)] == IDS


def test_a_stream_that_never_comes_gives_up(call: Call, service: FakeService) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    service.answers[PATH] = refuse
    with pytest.raises(ServiceUnreachableError):
        call("events", JOB_ID)


def test_an_unknown_job(call: Call) -> None:
    with pytest.raises(NotFoundError):
        call("events", "job_0")


def test_an_event_that_is_not_json(call: Call, service: FakeService) -> None:
    service.answers[PATH] = lambda _: httpx.Response(200, content=b"data: hello\n\n", headers=STREAM)
    with pytest.raises(UnexpectedAnswerError, match="not valid JSON"):
        call("events", JOB_ID)


class WatchedStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """All events, and whether whoever read them has closed the connection."""

    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield event_stream(EVENTS)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield event_stream(EVENTS)

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def test_who_stops_reading_closes_the_connection(service: FakeService) -> None:
    stream = WatchedStream()
    service.answers[PATH] = lambda _: httpx.Response(200, stream=stream, headers=STREAM)
    with Client(URL, transport=httpx.MockTransport(service)) as client:
        events = client.events(JOB_ID)
        assert next(events).id == IDS[0]
        assert not stream.closed
        events.close()
        assert stream.closed


def test_who_stops_awaiting_closes_the_connection(service: FakeService) -> None:
    stream = WatchedStream()
    service.answers[PATH] = lambda _: httpx.Response(200, stream=stream, headers=STREAM)

    async def read_one() -> None:
        async with AsyncClient(URL, transport=httpx.MockTransport(service.answer_async)) as client:
            events = client.events(JOB_ID)
            assert (await anext(events)).id == IDS[0]
            assert not stream.closed
            await events.aclose()
            assert stream.closed

    asyncio.run(read_one())
