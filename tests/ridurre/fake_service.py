"""A service of a few lines behind `httpx.MockTransport`: just enough of docs/http-api.md to hold a client to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

Handler = Callable[[httpx.Request], httpx.Response]

JOB_ID = "job_1"


def _latency(*milliseconds: float) -> dict[str, Any]:
    names = ("first_quartile_seconds", "median_seconds", "third_quartile_seconds")
    seconds = dict(zip(names, (each / 1000 for each in milliseconds), strict=True))
    return {"latency": {"keras": {**seconds, "num_calls": 30, "batch_size": 1}}}


REPORT = {
    "notes": ["the labels were one-hot encoded"],
    "schema_version": 2,
    "steps": [
        {
            "step": "initial",
            "params": 1000,
            "macs": 5000,
            "file_bytes": 9000,
            "metrics": {"val_accuracy": 0.5},
            **_latency(1, 2, 3),
        },
        {
            "step": "pruning",
            "params": 400,
            "macs": None,
            "file_bytes": 4000,
            "metrics": {"val_accuracy": 0.75},
            **_latency(0.25, 0.5, 0.75),
        },
    ],
}
ARTIFACTS = {"pruned.keras": b"a smaller model" * 10_000, "report.json": json.dumps(REPORT).encode()}


def job_body(status: str = "succeeded", **fields: Any) -> dict[str, Any]:
    """Return a job as the service writes it."""
    return {"id": JOB_ID, "status": status, "spec": {"pruning": {"criterion": "kmeans"}}, "version": 1, **fields}


def event_body(number: int, kind: str = "progress", **data: Any) -> dict[str, Any]:
    """Return an event as the service writes it."""
    return {"id": f"{number}-0", "kind": kind, "at": "2026-01-01T00:00:00Z", "data": data}


EVENTS = [
    event_body(1, "status", status="running"),
    event_body(2, phase="pruning", iteration=1, num_iterations=2, fraction=0.5, metrics={"accuracy": 0.7}),
    event_body(3, "status", status="succeeded"),
]


def problem(status: int, code: str, **fields: Any) -> httpx.Response:
    """Return an RFC 9457 answer."""
    body = {"type": f"/problems/{code}", "title": code.replace("-", " ").capitalize(), "status": status, **fields}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


def etag(content: bytes) -> str:
    """Return the ETag of an artifact."""
    return f'"{hashlib.sha256(content).hexdigest()}"'


def event_stream(events: list[dict[str, Any]]) -> bytes:
    """Return events as server-sent events."""
    lines = [f"id: {event['id']}\nevent: {event['kind']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return "".join([": keep-alive\n\n", *lines]).encode()


@dataclass
class FakeService:
    """Answers requests from `answers`, a table of (method, path) that a test changes, and remembers them."""

    requests: list[httpx.Request] = field(default_factory=list)
    answers: dict[tuple[str, str], Handler] = field(default_factory=dict)

    def __post_init__(self) -> None:
        uploaded = {"id": "mdl_1", "filename": "m.keras", "format": "keras", "size_bytes": 3, "sha256": "0"}
        self.answers |= {
            ("POST", "/v1/models"): lambda _: httpx.Response(201, json=uploaded),
            ("POST", "/v1/datasets"): lambda _: httpx.Response(201, json={**uploaded, "id": "dst_1", "format": "npz"}),
            ("POST", "/v1/jobs"): lambda _: httpx.Response(202, json=job_body("queued")),
            ("GET", f"/v1/jobs/{JOB_ID}"): lambda _: httpx.Response(200, json=job_body()),
            ("GET", f"/v1/jobs/{JOB_ID}/events"): self.events,
            ("POST", f"/v1/jobs/{JOB_ID}/cancel"): lambda _: httpx.Response(202, json=job_body("running")),
            ("DELETE", f"/v1/jobs/{JOB_ID}"): lambda _: httpx.Response(204),
            ("GET", f"/v1/jobs/{JOB_ID}/artifacts"): self.artifacts,
        }
        for name in ARTIFACTS:
            self.answers["GET", f"/v1/jobs/{JOB_ID}/artifacts/{name}"] = self.artifact

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._answer(request)

    async def answer_async(self, request: httpx.Request) -> httpx.Response:
        """Answer an asynchronous client."""
        await request.aread()
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.get((request.method, request.url.path))
        return problem(404, "not-found", detail="There is no such thing.") if answer is None else answer(request)

    @staticmethod
    def events(request: httpx.Request) -> httpx.Response:
        """Answer with a stream or with JSON, after the cursor."""
        after = request.headers.get("Last-Event-ID") or request.url.params.get("after") or ""
        events = [event for event in EVENTS if event["id"] > after]
        if request.headers.get("Accept") == "text/event-stream":
            content = event_stream(events)
            return httpx.Response(200, content=content, headers={"Content-Type": "text/event-stream"})
        return httpx.Response(200, json={"items": events, "cursor": events[-1]["id"] if events else after})

    @staticmethod
    def artifacts(_: httpx.Request) -> httpx.Response:
        """List the artifacts."""
        items = [
            {"name": name, "media_type": "x/y", "size_bytes": len(content), "sha256": etag(content).strip('"')}
            for name, content in ARTIFACTS.items()
        ]
        return httpx.Response(200, json={"items": items, "next_cursor": None})

    @staticmethod
    def artifact(request: httpx.Request) -> httpx.Response:
        """Answer with an artifact or a range of it."""
        content = ARTIFACTS[request.url.path.rsplit("/", 1)[-1]]
        headers = {"ETag": etag(content)}
        if "Range" not in request.headers or request.headers.get("If-Range") != etag(content):
            return httpx.Response(200, content=content, headers=headers)
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return httpx.Response(206, content=content[start:], headers=headers)
