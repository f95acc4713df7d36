"""Waiting for a job, with and without a limit, through outages."""

from __future__ import annotations

import httpx
import pytest

from ridurre.errors import RidurreError, ServiceUnreachableError, WaitTimeoutError
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


def away_for(service: FakeService, num_failures: int) -> None:
    """Let the first requests for events fail."""
    failures = iter(range(num_failures))

    def answer(request: httpx.Request) -> httpx.Response:
        if next(failures, None) is None:
            return service.events(request)
        raise httpx.ConnectError("refused")

    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = answer


@pytest.mark.parametrize("method", ["wait", "events"])
def test_outages_of_minutes_are_outlived_and_told_once(call: Call, service: FakeService, method: str) -> None:
    away_for(service, 20)
    told: list[RidurreError] = []
    result = call(method, JOB_ID, on_outage=told.append)
    assert result.status == "succeeded" if method == "wait" else result[-1].terminal
    (outage,) = told
    assert "unavailable" in outage.detail
    assert JOB_ID in str(outage)


@pytest.mark.parametrize("method", ["wait", "events"])
def test_longer_outages_are_not(call: Call, service: FakeService, method: str) -> None:
    away_for(service, 1000)
    with pytest.raises(ServiceUnreachableError, match=f"ridurre status {JOB_ID}"):
        call(method, JOB_ID)
    assert 20 < len(service.requests) < 100


def test_how_long_is_up_to_the_caller(call: Call, service: FakeService) -> None:
    away_for(service, 1000)
    with pytest.raises(ServiceUnreachableError):
        call("wait", JOB_ID, outage_seconds=0.5)
    assert len(service.requests) < 6


def test_following_outlives_a_service_without_its_store(call: Call, service: FakeService) -> None:
    troubles = [problem(503, "service-unavailable")] * 3
    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = lambda request: (
        troubles.pop() if troubles else service.events(request)
    )
    assert call("events", JOB_ID)[-1].terminal


def test_an_outage_is_logged_where_nobody_listens(
    call: Call, service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    away_for(service, 8)
    call("wait", JOB_ID)
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == ["ridurre"]


def test_no_outage_is_borne_for_longer_than_the_wait(call: Call, service: FakeService) -> None:
    away_for(service, 1000)
    with pytest.raises(ServiceUnreachableError):
        call("wait", JOB_ID, timeout_seconds=0.5)
    assert len(service.requests) < 6
