"""Both clients against docs/http-api.md."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ridurre import AsyncClient, Client, Event, Job, conversations
from ridurre.errors import (
    ConflictError,
    InvalidSpecError,
    JobCancelledError,
    JobFailedError,
    NotFoundError,
    ProblemError,
    RidurreError,
    ServiceUnreachableError,
    UnexpectedAnswerError,
)
from tests.ridurre.conftest import URL, Call
from tests.ridurre.fake_service import JOB_ID, FakeService, job_body, problem

pytestmark = pytest.mark.fast


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny model.keras"
    path.write_bytes(b"abc" * 100_000)
    return path


def methods(kind: type) -> dict[str, Any]:
    """Return the methods that talk to the service."""
    public = {name: value for name, value in vars(kind).items() if not name.startswith("_") and callable(value)}
    return {name: value for name, value in public.items() if name not in ("close", "aclose")}


def test_both_clients_have_a_method_for_each_conversation() -> None:
    assert sorted(methods(Client)) == sorted(methods(AsyncClient)) == sorted(conversations.__all__)


@pytest.mark.parametrize("name", conversations.__all__)
def test_methods_show_what_they_take_and_return(name: str) -> None:
    own = inspect.signature(getattr(conversations, name), eval_str=True)
    for kind in (Client, AsyncClient):
        method = getattr(kind, name)
        assert method.__doc__ == getattr(conversations, name).__doc__
        assert method.__name__ == name
        assert inspect.unwrap(method) is method
        signature = inspect.signature(method)
        assert list(signature.parameters) == ["self", *own.parameters]
        assert method.__annotations__["return"] == signature.return_annotation
    assert inspect.iscoroutinefunction(getattr(AsyncClient, name)) is (name != "events")


def test_what_methods_return_is_shown() -> None:
    assert inspect.signature(Client.job).return_annotation is Job
    assert inspect.signature(AsyncClient.job).return_annotation is Job
    assert inspect.signature(Client.delete).return_annotation is None
    assert inspect.signature(Client.events).return_annotation == Iterator[Event]
    assert inspect.signature(AsyncClient.events).return_annotation == AsyncIterator[Event]


def test_upload_sends_the_bytes_with_their_length(call: Call, service: FakeService, model: Path) -> None:
    uploaded = call("upload_model", model)
    (request,) = service.requests
    assert uploaded.id == "mdl_1"
    assert request.url.params["filename"] == "tiny model.keras"
    assert request.content == model.read_bytes()
    assert request.headers["Content-Length"] == str(model.stat().st_size)
    assert "Transfer-Encoding" not in request.headers


def test_upload_of_a_missing_file_says_so_without_a_request(call: Call, service: FakeService, tmp_path: Path) -> None:
    with pytest.raises(RidurreError, match=r"absent\.npz does not exist"):
        call("upload_dataset", tmp_path / "absent.npz")
    assert service.requests == []


def test_submit_sends_what_was_given_and_nothing_else(call: Call, service: FakeService) -> None:
    job = call(
        "submit",
        "mdl_1",
        "digits",
        criterion="kmeans",
        ratio=None,
        target_params=0.36,
        training={"fine_tuning_epochs": 2, "epochs": None},
    )
    (request,) = service.requests
    assert job.id == JOB_ID
    assert json.loads(request.content) == {
        "model": "mdl_1",
        "dataset": "digits",
        "pruning": {"criterion": "kmeans", "target_params": 0.36},
        "training": {"fine_tuning_epochs": 2},
    }


def test_submit_repeats_itself_under_the_same_key(call: Call, service: FakeService) -> None:
    answers = iter(
        [problem(503, "service-unavailable"), httpx.ConnectError("broken"), httpx.Response(202, json=job_body())]
    )

    def answer(_: httpx.Request) -> httpx.Response:
        following = next(answers)
        if isinstance(following, Exception):
            raise following
        return following

    service.answers["POST", "/v1/jobs"] = answer
    assert call("submit", "mdl_1", ratio=0.1).id == JOB_ID
    keys = [request.headers["Idempotency-Key"] for request in service.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_problem_becomes_an_error_with_its_fields(call: Call, service: FakeService) -> None:
    fields = {
        "detail": "Not a ratio.",
        "field": "pruning.ratio",
        "received": "1.0",
        "expected": "below 1",
        "hint": "Try 0.5.",
    }
    service.answers["POST", "/v1/jobs"] = lambda _: problem(422, "invalid-spec", **fields)
    with pytest.raises(InvalidSpecError) as caught:
        call("submit", "mdl_1", ratio=1.0)
    error = caught.value
    assert (error.status, error.code, error.type) == (422, "invalid-spec", "/problems/invalid-spec")
    assert {name: getattr(error, name) for name in fields} == fields
    assert all(value in str(error) for value in fields.values())


def test_several_wrong_fields_are_all_shown(call: Call, service: FakeService) -> None:
    wrong = [
        {"field": "pruning.ratio", "received": "2", "expected": "below 1"},
        {"field": "model", "received": "7", "detail": "a string"},
    ]
    service.answers["POST", "/v1/jobs"] = lambda _: problem(422, "invalid-spec", detail="Two fields.", errors=wrong)
    with pytest.raises(InvalidSpecError, match=r"(?s)pruning\.ratio: received 2; expected below 1.*model: received 7"):
        call("submit", "mdl_1", ratio=2.0)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(404, "not-found", NotFoundError), (409, "conflict", ConflictError), (418, "from-the-future", ProblemError)],
)
def test_kinds_of_problems(call: Call, service: FakeService, status: int, code: str, kind: type[ProblemError]) -> None:
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: problem(status, code, detail="No.")
    with pytest.raises(ProblemError) as caught:
        call("job", JOB_ID)
    assert type(caught.value) is kind


def test_another_service_is_recognised(call: Call, service: FakeService) -> None:
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(502, text="<html>Bad gateway")
    with pytest.raises(UnexpectedAnswerError, match=r"(?s)502.*Bad gateway"):
        call("job", JOB_ID)


def test_nothing_answers(call: Call, service: FakeService) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = refuse
    with pytest.raises(ServiceUnreachableError, match=r"(?s)connection refused.*ridurre serve"):
        call("job", JOB_ID)


def test_an_id_cannot_reach_another_resource(call: Call, service: FakeService) -> None:
    with pytest.raises(NotFoundError):
        call("job", "../models/mdl_1")
    assert service.requests[0].url.raw_path == b"/v1/jobs/..%2Fmodels%2Fmdl_1"


def test_jobs_reads_page_after_page(call: Call, service: FakeService) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        if "cursor" in request.url.params:
            return httpx.Response(200, json={"items": [job_body(id="job_2")], "next_cursor": None})
        return httpx.Response(200, json={"items": [job_body()], "next_cursor": "next"})

    service.answers["GET", "/v1/jobs"] = page
    assert [job.id for job in call("jobs", "succeeded")] == [JOB_ID, "job_2"]
    assert [request.url.params["status"] for request in service.requests] == ["succeeded", "succeeded"]


def test_how_a_job_ended_becomes_an_error(call: Call, service: FakeService) -> None:
    error = {
        "type": "/problems/training-failed",
        "title": "Training failed",
        "detail": "The loss is NaN.",
        "hint": "Lower it.",
    }
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(200, json=job_body("failed", error=error))
    with pytest.raises(JobFailedError, match=r"(?s)The loss is NaN.*Lower it") as caught:
        call("job", JOB_ID).raise_unless_succeeded()
    assert caught.value.code == "training-failed"
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(200, json=job_body("cancelled"))
    with pytest.raises(JobCancelledError):
        call("job", JOB_ID).raise_unless_succeeded()


def test_cancel_delete_and_artifacts(call: Call) -> None:
    assert call("cancel", JOB_ID).status == "running"
    assert call("delete", JOB_ID) is None
    assert [artifact.name for artifact in call("artifacts", JOB_ID)] == ["pruned.keras", "report.json"]


def test_prune_does_everything(call: Call, service: FakeService, model: Path) -> None:
    pruned = call("prune", model, "digits", criterion="kmeans", target_params=0.36)
    assert pruned.job.status == "succeeded"
    assert pruned.path == model.with_name("tiny model.pruned.keras")
    assert pruned.path.read_bytes().startswith(b"a smaller model")
    assert pruned.report["steps"][-1]["params"] == 400
    assert json.loads(next(r for r in service.requests if r.url.path == "/v1/jobs").content)["dataset"] == "digits"


def test_prune_uploads_a_dataset_that_is_a_file(call: Call, service: FakeService, model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    data.write_bytes(b"npz")
    call("prune", model, str(data), ratio=0.5)
    assert json.loads(next(r for r in service.requests if r.url.path == "/v1/jobs").content)["dataset"] == "dst_1"


def test_the_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIDURRE_URL", "http://elsewhere.test:1/")
    assert Client().url == "http://elsewhere.test:1"
    assert Client(URL).url == URL
    monkeypatch.delenv("RIDURRE_URL")
    assert Client().url == "http://127.0.0.1:8470"
    with pytest.raises(RidurreError, match="http://HOST:PORT"):
        Client("localhost:8470")


def test_dataset_uploads_files_and_keeps_names(call: Call, service: FakeService, model: Path) -> None:
    assert call("dataset", None) is None
    assert call("dataset", "digits") == "digits"
    assert service.requests == []
    assert call("dataset", str(model)).id == "dst_1"
