"""Waiting for a job, with and without a limit, through outages."""

from __future__ import annotations

import httpx
import pytest

from ridurre.errors import ServiceUnreachableError, WaitTimeoutError
from tests.ridurre.conftest import Call
from tests.ridurre.fake_service import JOB_ID, FakeService, job_body, problem

pytestmark = pytest.mark.fast


def test_wait_tells_of_each_event_and_returns_the_finished_job(call: Call) -> None:
    seen: list[str] = []
    job = call("wait", JOB_ID, on_event=lambda event: seen.append(event.id))
    assert job.status == "succeeded"
    assert seen == ["1-0", "2-0", "3-0"]


def test_wait_gives_up_when_time_is_up(call: Call, service: FakeService) -> None:
    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = lambda _: httpx.Response(
        200, json={"items": [], "cursor": "0"}
    )
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(200, json=job_body("running"))
    with pytest.raises(WaitTimeoutError, match="still running"):
        call("wait", JOB_ID, timeout_seconds=0)


def test_wait_gives_up_when_time_is_up_amid_a_flood_of_events(call: Call, service: FakeService) -> None:
    def flood(request: httpx.Request) -> httpx.Response:
        number = int((request.url.params.get("after") or "0-0").split("-")[0]) + 1
        event = {"id": f"{number}-0", "kind": "progress", "data": {}}
        return httpx.Response(200, json={"items": [event], "cursor": event["id"]})

    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = flood
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(200, json=job_body("running"))
    with pytest.raises(WaitTimeoutError):
        call("wait", JOB_ID, timeout_seconds=0)


def test_wait_outlives_short_outages(call: Call, service: FakeService) -> None:
    troubles = [problem(503, "service-unavailable"), httpx.ConnectError("refused"), httpx.ReadError("reset")]

    def answer(request: httpx.Request) -> httpx.Response:
        if not troubles:
            return service.events(request)
        trouble = troubles.pop()
        if isinstance(trouble, Exception):
            raise trouble
        return trouble

    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = answer
    assert call("wait", JOB_ID).status == "succeeded"


def test_wait_does_not_outlive_long_ones(call: Call, service: FakeService) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = refuse
    with pytest.raises(ServiceUnreachableError):
        call("wait", JOB_ID)
