import json
import threading
from typing import Any

import pytest

from jobs.record import Progress
from jobs.status import JobStatus
from jobs.stores.base import Outcome
from tests.api.conftest import Service, assert_problem

pytestmark = pytest.mark.fast

STREAM = {"Accept": "text/event-stream"}


def run_to_the_end(service: Service, job: str) -> None:
    """Let a job run, as a worker would."""
    claim = service.store.claim(job, 30)
    assert claim is not None
    service.store.update_progress(job, claim.fence, Progress(phase="training", fraction=0.5), {})
    service.store.finish(job, claim.fence, Outcome(JobStatus.SUCCEEDED))


def parsed(text: str) -> list[dict[str, Any]]:
    """Return the data of server-sent events, after checking that id and kind agree with it."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append(json.loads(fields["data"]))
            assert (fields["id"], fields["event"]) == (events[-1]["id"], events[-1]["kind"])
    return events


def test_events_are_polled_from_a_cursor(service: Service) -> None:
    job = service.submit()
    first = service.client.get(f"/v1/jobs/{job}/events").json()
    assert [event["data"]["status"] for event in first["items"]] == ["queued"]
    run_to_the_end(service, job)
    rest = service.client.get(f"/v1/jobs/{job}/events", params={"after": first["cursor"]}).json()
    assert [event["kind"] for event in rest["items"]] == ["status", "progress", "status"]
    assert rest["cursor"] == rest["items"][-1]["id"]
    end = service.client.get(f"/v1/jobs/{job}/events", params={"after": rest["cursor"], "wait": 30}).json()
    assert end == {"items": [], "cursor": rest["cursor"]}


def test_polling_waits_for_an_event(service: Service) -> None:
    job = service.submit()
    cursor = service.client.get(f"/v1/jobs/{job}/events").json()["cursor"]
    threading.Timer(0.2, service.store.claim, [job, 30]).start()
    events = service.client.get(f"/v1/jobs/{job}/events", params={"after": cursor, "wait": 30}).json()["items"]
    assert [event["data"]["status"] for event in events] == ["running"]


def test_a_stream_ends_with_the_job(service: Service) -> None:
    job = service.submit()
    threading.Timer(0.2, run_to_the_end, [service, job]).start()
    response = service.client.get(f"/v1/jobs/{job}/events", headers=STREAM)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = parsed(response.text)
    assert [event["kind"] for event in events] == ["status", "status", "progress", "status"]
    assert events[-1]["data"]["status"] == "succeeded"


def test_a_stream_resumes_after_the_last_event(service: Service) -> None:
    job = service.submit()
    run_to_the_end(service, job)
    events = parsed(service.client.get(f"/v1/jobs/{job}/events", headers=STREAM).text)
    headers = {**STREAM, "Last-Event-ID": events[1]["id"]}
    assert parsed(service.client.get(f"/v1/jobs/{job}/events", headers=headers).text) == events[2:]
    headers["Last-Event-ID"] = events[-1]["id"]
    assert parsed(service.client.get(f"/v1/jobs/{job}/events", headers=headers).text) == []


def test_a_stream_ends_when_the_job_is_deleted(service: Service) -> None:
    job = service.submit()
    service.store.request_cancel(job)
    cursor = service.client.get(f"/v1/jobs/{job}/events").json()["cursor"]
    service.store.delete(job)
    for headers in ({}, STREAM):
        response = service.client.get(f"/v1/jobs/{job}/events", params={"after": cursor}, headers=headers)
        assert_problem(response, 404, "not-found")


def test_a_foreign_cursor_is_refused(service: Service) -> None:
    job = service.submit()
    for headers in ({}, STREAM):
        response = service.client.get(f"/v1/jobs/{job}/events?after=yesterday", headers=headers)
        assert assert_problem(response, 422, "invalid-spec")["field"] == "after"
