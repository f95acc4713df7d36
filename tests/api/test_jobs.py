import json
import threading
from typing import Any

import pytest

from jobs.record import JobError, Progress
from jobs.status import JobStatus
from jobs.stores.base import Outcome
from pruning.spec import EXTENT
from tests.api.conftest import Service, assert_problem
from tests.uploads import HDF5, npy, npz_file

pytestmark = pytest.mark.fast


def test_a_job_is_queued_and_published(service: Service) -> None:
    response = service.client.post("/v1/jobs", json=service.spec(name="first"))
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert service.published == [job["id"]]
    assert (job["status"], job["name"], job["attempt"]) == ("queued", "first", 0)
    assert job["spec"]["pruning"]["ratio"] == 0.5
    assert job["spec"]["training"]["batch_size"] == 64
    assert set(job) == {
        *("id", "name", "status", "spec", "attempt", "version", "cancel_requested", "created_at", "started_at"),
        *("finished_at", "progress", "metrics", "error", "goal_met", "stopped_because", "artifacts"),
    }
    assert service.client.get(response.headers["location"]).json() == job


def test_the_same_key_gives_the_same_job(service: Service) -> None:
    spec, headers = service.spec(), {"Idempotency-Key": "key"}
    ids = {service.client.post("/v1/jobs", json=spec, headers=headers).json()["id"] for _ in range(3)}
    assert len(ids) == 1
    assert service.published == list(ids)
    other = service.client.post("/v1/jobs", json={**spec, "name": "other"}, headers=headers)
    assert_problem(other, 409, "conflict")


PRUNING: list[tuple[dict[str, Any], str, str, str]] = [
    ({"ratio": 0}, "pruning.ratio", "0", "a number above 0 and below 1"),
    ({"ratio": 1.0}, "pruning.ratio", "1.0", "a number above 0 and below 1"),
    ({"ratio": "much"}, "pruning.ratio", '"much"', "a number above 0 and below 1"),
    ({"ratio": 0.5, "num_iterations": 0}, "pruning.num_iterations", "0", "an integer at least 1 and at most 1000"),
    ({"ratio": 0.5, "schedule": "x"}, "pruning.schedule", '"x"', "one of constant, linear, exponential, one_shot"),
    ({"ratio": 0.5, "ratios": {"stem": 2}}, "pruning.ratios.stem", "2", "a number above 0 and below 1"),
]


@pytest.mark.parametrize(("pruning", "field", "received", "expected"), PRUNING)
def test_a_wrong_value_is_named(
    service: Service, pruning: dict[str, Any], field: str, received: str, expected: str
) -> None:
    response = service.client.post("/v1/jobs", json=service.spec(pruning=pruning))
    problem = assert_problem(response, 422, "invalid-spec")
    assert (problem["field"], problem["received"], problem["expected"]) == (field, received, expected)
    assert service.published == []


def test_a_target_that_looks_like_a_percentage_is_asked_back(service: Service) -> None:
    both = {"ratio": 2, "target_macs": 40}
    for pruning in ({"target_macs": 40}, both):
        response = service.client.post("/v1/jobs", json=service.spec(pruning=pruning))
        problem = assert_problem(response, 422, "invalid-spec")
        (told,) = [each for each in problem.get("errors", [problem]) if each["field"] == "pruning.target_macs"]
        assert told["hint"] == "Did you mean 0.4 (40 % of the original)?"
    assert service.published == []


@pytest.mark.parametrize("pattern", ["a{99999999999999999}", "(" * 8000 + ")" * 8000, "(" * 120 + ")" * 120 + "("])
@pytest.mark.parametrize("field", ["include", "exclude", "ratios"])
def test_a_pattern_that_cannot_be_compiled_is_refused(service: Service, pattern: str, field: str) -> None:
    value = {pattern: 0.5} if field == "ratios" else [pattern]
    response = service.client.post("/v1/jobs", json=service.spec(pruning={"ratio": 0.5, field: value}))
    assert assert_problem(response, 422, "invalid-spec")["field"].startswith(f"pruning.{field}")


@pytest.mark.parametrize("number", ["1e999", "Infinity", "NaN"])
def test_numbers_are_finite(service: Service, number: str) -> None:
    body = json.dumps(service.spec(training={"learning_rate": 0.125})).replace("0.125", number)
    response = service.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid-spec")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "\ud800"},
        {"model": "\ud800"},
        {"dataset": "\ud800"},
        {"\ud800": 1},
        {"pruning": {"ratio": 0.5, "criterion": "\ud800"}},
        {"pruning": {"ratio": 0.5, "schedule": "\ud800"}},
        {"pruning": {"ratio": 0.5, "include": ["\ud800"]}},
        {"pruning": {"ratios": {"\ud800": 0.5}}},
        {"training": {"loss": {"\ud800": "mse"}}},
        {"training": {"optimizer": {"name": "adam", "options": {"a": "\ud800", "\ud800": 1}}}},
    ],
)
def test_half_a_surrogate_pair_is_refused(service: Service, change: dict[str, Any]) -> None:
    body = json.dumps(service.spec(**change))
    response = service.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert_problem(response, 422, response.json()["type"].rsplit("/", 1)[-1])
    assert service.published == []


def test_an_unknown_criterion_is_named_with_the_known_ones(service: Service) -> None:
    response = service.client.post("/v1/jobs", json=service.spec(pruning={"criterion": "luck", "ratio": 0.5}))
    problem = assert_problem(response, 422, "unknown-criterion")
    assert (problem["field"], problem["received"]) == ("pruning.criterion", '"luck"')
    assert "kmeans" in problem["expected"]


def test_several_wrong_fields_are_all_named(service: Service) -> None:
    response = service.client.post(
        "/v1/jobs", json=service.spec(pruning={"ratio": 2}, training={"batch_size": 0}, colour="red")
    )
    problem = assert_problem(response, 422, "invalid-spec")
    assert {error["field"] for error in problem["errors"]} == {"pruning.ratio", "training.batch_size", "colour"}


def test_a_spec_that_says_nothing_is_refused(service: Service) -> None:
    response = service.client.post("/v1/jobs", json=service.spec(pruning={}))
    problem = assert_problem(response, 422, "invalid-spec")
    assert "Set one of" in problem["detail"]
    assert (problem["field"], problem["expected"]) == ("pruning", EXTENT)


def test_a_linear_schedule_needs_its_end(service: Service) -> None:
    response = service.client.post("/v1/jobs", json=service.spec(pruning={"ratio": 0.5, "schedule": "linear"}))
    problem = assert_problem(response, 422, "invalid-spec")
    assert (problem["field"], problem["expected"]) == (
        "pruning.num_iterations",
        "an integer at least 1 and at most 1000",
    )


UNIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"loss": 3}, "training.loss", "3"),
    ({"loss": ""}, "training.loss", '""'),
    ({"loss": {"head": 3}}, "training.loss", '{"head": 3}'),
    ({"optimizer": {"nam": "adam"}}, "training.optimizer", '{"nam": "adam"}'),
    ({"optimizer": {"name": "adam", "options": {"a": [1]}}}, "training.optimizer", "adam"),
    ({"metrics": ["accuracy", 3]}, "training.metrics", '["accuracy", 3]'),
    ({"metrics": {"head": ["accuracy", 3]}}, "training.metrics", "accuracy"),
]


@pytest.mark.parametrize(("training", "field", "received"), UNIONS)
def test_a_value_of_many_forms_is_one_error(
    service: Service, training: dict[str, Any], field: str, received: str
) -> None:
    response = service.client.post("/v1/jobs", json=service.spec(training=training))
    problem = assert_problem(response, 422, "invalid-spec")
    assert problem["field"] == field
    assert received in problem["received"]
    assert "an object with name, options" in problem["expected"]
    assert "errors" not in problem


def test_a_wrong_pattern_is_named_without_its_key(service: Service) -> None:
    response = service.client.post("/v1/jobs", json=service.spec(pruning={"ratios": {"(": 0.5}}))
    problem = assert_problem(response, 422, "invalid-spec")
    assert (problem["field"], problem["received"]) == ("pruning.ratios", '"("')
    assert problem["expected"] == "a regular expression in RE2 syntax, of at most 256 characters"


BODIES: list[tuple[bytes, str]] = [
    (b"", "an empty body"),
    (b"{", "{"),
    (b"[]", "[]"),
    (b"null", "an empty body"),
    (b'"text"', '"text"'),
    (b"\xff", "xff"),
    (b"[" * 19_000, "too many nested lists"),
    (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
]


@pytest.mark.parametrize(("body", "received"), BODIES, ids=[body[:8].decode("latin-1") for body, _ in BODIES])
def test_a_body_that_is_no_spec_is_refused(service: Service, body: bytes, received: str) -> None:
    response = service.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    problem = assert_problem(response, 422, "invalid-spec")
    assert problem["field"] == "body"
    assert received in problem["received"]
    assert "object" in problem["expected"]
    assert "Content-Type: application/json" in problem["hint"]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_spec_under_another_content_type_is_refused(service: Service, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = service.client.post("/v1/jobs", content=json.dumps(service.spec()).encode(), headers=headers)
    problem = assert_problem(response, 422, "invalid-spec")
    assert (problem["field"], problem["expected"]) == ("Content-Type", "application/json")
    assert problem["received"] == (content_type or "no Content-Type")


def test_a_wrong_header_is_named(service: Service) -> None:
    headers = {"Idempotency-Key": "x" * 300}
    problem = assert_problem(service.client.post("/v1/jobs", json=service.spec(), headers=headers), 422, "invalid-spec")
    assert (problem["field"], problem["expected"]) == ("Idempotency-Key", "at most 255 characters")
    assert problem["received"].startswith("xxx")


def test_a_spec_over_the_limit_is_refused(service: Service) -> None:
    response = service.client.post("/v1/jobs", json=service.spec(name="x" * 30_000))
    assert_problem(response, 413, "upload-too-large")


@pytest.mark.parametrize(("field", "value"), [("model", "mdl_0"), ("model", "dst_0"), ("dataset", "dst_0")])
def test_an_unknown_upload_is_named(service: Service, field: str, value: str) -> None:
    problem = assert_problem(service.client.post("/v1/jobs", json=service.spec(**{field: value})), 422, "invalid-spec")
    assert (problem["field"], problem["received"]) == (field, value)


@pytest.mark.parametrize(
    ("pruning", "field"),
    [
        ({"ratio": 0.5, "include": ["stem", "tail"]}, "pruning.include"),
        ({"ratio": 0.5, "exclude": ["blo.*1", "conv.*"]}, "pruning.exclude"),
        ({"ratios": {"nothing/.*": 0.5}}, "pruning.ratios"),
    ],
)
def test_a_pattern_without_a_layer_is_refused(service: Service, pruning: dict[str, Any], field: str) -> None:
    response = service.client.post("/v1/jobs", json=service.spec(pruning=pruning))
    problem = assert_problem(response, 422, "invalid-spec")
    assert problem["field"] == field
    assert problem["received"] in ("tail", "conv.*", "nothing/.*")
    assert "block/conv1" in problem["hint"]


def test_patterns_with_layers_are_accepted(service: Service) -> None:
    service.submit(pruning={"include": ["block/.*"], "exclude": ["stem"], "ratios": {".*conv2": 0.5}})


def test_patterns_wait_for_the_job_where_layers_are_unknown(service: Service) -> None:
    model = service.client.post("/v1/models?filename=m.h5", content=HDF5).json()["id"]
    service.submit(model=model, pruning={"ratio": 0.5, "include": ["anything"]})


def test_epochs_without_data_are_refused(service: Service) -> None:
    spec = service.spec(dataset=None, training={"fine_tuning_epochs": 2})
    problem = assert_problem(service.client.post("/v1/jobs", json=spec), 422, "invalid-spec")
    assert problem["field"] == "training.fine_tuning_epochs"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"training": {"fine_tuning_epochs": 1}}, "training.fine_tuning_epochs"),
        ({"pruning": {"ratio": 0.5, "max_metric_drop": 0.1}}, "pruning.max_metric_drop"),
    ],
)
def test_data_without_targets_is_not_trained_on(service: Service, changes: dict[str, Any], field: str) -> None:
    upload = service.client.post("/v1/datasets?filename=x.npz", content=npz_file(x_train=npy((4, 8, 8, 1)))).json()
    assert not upload["labelled"]
    spec = service.spec(dataset=upload["id"], **changes)
    problem = assert_problem(service.client.post("/v1/jobs", json=spec), 422, "invalid-spec")
    assert problem["field"] == field
    assert "targets" in problem["detail"]
    service.submit(dataset=upload["id"])


def test_without_data_nothing_is_trained_by_default(service: Service) -> None:
    service.submit(dataset=None)


def test_a_criterion_that_needs_data_is_refused_without(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from pruning.catalog import CRITERIA

    monkeypatch.setitem(CRITERIA, "random", replace(CRITERIA["random"], needs_data=True))
    spec = service.spec(dataset=None, pruning={"criterion": "random", "ratio": 0.5})
    assert assert_problem(service.client.post("/v1/jobs", json=spec), 422, "invalid-spec")["field"] == "dataset"


def test_a_sweep_is_checked_as_a_criterion_is(service: Service) -> None:
    for dataset, sweep, field in (
        (None, {"criteria": ["l1_norm", "taylor"]}, "dataset"),
        ("digits", {"criteria": ["l1_norm", "l1_norm"]}, "pruning.sweep"),
        ("digits", {"sizes": [1.5]}, "pruning.sweep.sizes.0"),
    ):
        spec = service.spec(dataset=dataset, pruning={"ratio": 0.5, "sweep": sweep})
        problem = assert_problem(service.client.post("/v1/jobs", json=spec), 422, "invalid-spec")
        assert problem["field"] == field
        assert problem["expected"]


def test_the_smallest_within_a_drop_is_a_job(service: Service) -> None:
    spec = service.spec(pruning={"max_metric_drop": 0.01})
    assert service.client.post("/v1/jobs", json=spec).status_code == 202


def test_a_scope_that_measures_is_refused_without_data(service: Service) -> None:
    pruning = {"criterion": "l1_norm", "scope": "sensitivity", "ratio": 0.5}
    spec = service.spec(dataset=None, pruning=pruning)
    assert assert_problem(service.client.post("/v1/jobs", json=spec), 422, "invalid-spec")["field"] == "dataset"
    service.submit(pruning=pruning)


def test_a_criterion_that_chooses_sets_is_refused_for_a_global_ranking(service: Service) -> None:
    spec = service.spec(pruning={"criterion": "kmeans", "scope": "global", "ratio": 0.5})
    assert assert_problem(service.client.post("/v1/jobs", json=spec), 422, "invalid-spec")["field"] == "pruning.scope"


def test_jobs_are_listed_in_pages(service: Service) -> None:
    ids = [service.submit() for _ in range(3)]
    page = service.client.get("/v1/jobs?limit=2").json()
    rest = service.client.get("/v1/jobs", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [job["id"] for job in page["items"] + rest["items"]] == ids[::-1]
    assert rest["next_cursor"] is None
    assert service.client.get("/v1/jobs?status=running").json()["items"] == []


STATUSES = "one of queued, running, interrupted, succeeded, failed, cancelled"
QUERIES: list[tuple[str, str, str]] = [
    ("status", "lost", STATUSES),
    ("limit", "0", "at least 1"),
    ("limit", "1000", "at most 200"),
    ("limit", "x", "an integer"),
    ("cursor", "x!", "next_cursor"),
    ("cursor", "abc", "next_cursor"),
    ("cursor", "x" * 201, "at most 200 characters"),
]


@pytest.mark.parametrize(("name", "value", "expected"), QUERIES)
def test_a_wrong_query_is_refused(service: Service, name: str, value: str, expected: str) -> None:
    problem = assert_problem(service.client.get("/v1/jobs", params={name: value}), 422, "invalid-spec")
    assert problem["field"] == name
    assert problem["received"].removesuffix("…") == value[:200]
    assert expected in problem["expected"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events"), ("GET", "/artifacts"), ("GET", "?wait=1")],
)
def test_an_unknown_job_is_not_found(service: Service, method: str, path: str) -> None:
    problem = assert_problem(service.client.request(method, f"/v1/jobs/job_nothing{path}"), 404, "not-found")
    assert (problem["field"], problem["received"]) == ("job_id", "job_nothing")


def test_an_unchanged_job_is_not_sent_again(service: Service) -> None:
    path = f"/v1/jobs/{service.submit()}"
    etag = service.client.get(path).headers["etag"]
    unchanged = service.client.get(path, headers={"If-None-Match": f'"other", W/{etag}'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    service.client.post(f"{path}/cancel")
    assert service.client.get(path, headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize("how", [{"params": {"wait": 30}}, {"headers": {"Prefer": "wait=30"}}])
def test_a_long_poll_ends_with_the_job(service: Service, how: dict[str, Any]) -> None:
    job = service.submit()
    threading.Timer(0.2, service.store.request_cancel, [job]).start()
    assert service.client.get(f"/v1/jobs/{job}", **how).json()["status"] == "cancelled"


def test_a_long_poll_ends_with_a_change(service: Service) -> None:
    job = service.submit()
    etag = service.client.get(f"/v1/jobs/{job}").headers["etag"]
    threading.Timer(0.2, service.store.claim, [job, 30]).start()
    changed = service.client.get(f"/v1/jobs/{job}?wait=30", headers={"If-None-Match": etag})
    assert changed.json()["status"] == "running"


def test_a_long_poll_ends_in_time(service: Service) -> None:
    path = f"/v1/jobs/{service.submit()}"
    etag = service.client.get(path).headers["etag"]
    assert service.client.get(f"{path}?wait=0.1").status_code == 200
    assert service.client.get(f"{path}?wait=0.1", headers={"If-None-Match": etag}).status_code == 304
    assert_problem(service.client.get(f"{path}?wait=61"), 422, "invalid-spec")


def test_many_long_polls_hold_no_threads(service: Service) -> None:
    job = service.submit()
    answers: list[str] = []
    polls = [
        threading.Thread(target=lambda: answers.append(service.client.get(f"/v1/jobs/{job}?wait=30").json()["status"]))
        for _ in range(60)
    ]
    for poll in polls:
        poll.start()
    assert service.client.get("/readyz").status_code == 200
    service.client.post(f"/v1/jobs/{job}/cancel")
    for poll in polls:
        poll.join(20)
    assert answers == ["cancelled"] * 60


def test_a_job_shows_progress_and_its_error(service: Service) -> None:
    job = service.submit()
    claim = service.store.claim(job, 30)
    assert claim is not None
    service.store.update_progress(job, claim.fence, Progress(phase="training", fraction=0.5), {"loss": 0.25})
    shown = service.client.get(f"/v1/jobs/{job}").json()
    assert (shown["progress"]["fraction"], shown["metrics"]) == (0.5, {"loss": 0.25})
    error = JobError.of("training-failed", "the loss is not a number", hint="Lower the learning rate.")
    service.store.finish(job, claim.fence, Outcome(JobStatus.FAILED, error=error))
    failed = service.client.get(f"/v1/jobs/{job}").json()
    assert failed["status"] == "failed"
    assert failed["error"]["type"] == "/problems/training-failed"
    assert failed["error"]["hint"] == "Lower the learning rate."


def test_cancelling_and_deleting(service: Service) -> None:
    path = f"/v1/jobs/{service.submit()}"
    assert assert_problem(service.client.delete(path), 409, "conflict")["field"] == "status"
    cancelled = service.client.post(f"{path}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert_problem(service.client.post(f"{path}/cancel"), 409, "conflict")
    assert service.client.delete(path).status_code == 204
    assert_problem(service.client.get(path), 404, "not-found")
