"""The command: exit codes, what it prints, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from pruning.catalog import CRITERIA, EXPORT_FORMATS
from ridurre.cli import app
from ridurre.cli.export import complete_format
from ridurre.cli.options import complete_criterion
from ridurre.cli.plan import speed
from ridurre.client import Client
from ridurre.errors import RidurreError
from tests.ridurre.fake_service import ARTIFACTS, JOB_ID, FakeService, etag, event_body, job_body, problem

pytestmark = pytest.mark.fast

Run = Callable[..., Result]


@pytest.fixture
def run(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command against the fake service."""
    make = Client.__init__

    def make_with_fake(self: Client, url: str | None = None) -> None:
        make(self, url, transport=httpx.MockTransport(service))

    monkeypatch.setattr(Client, "__init__", make_with_fake)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_bytes(b"abc")
    return path


def refuse(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def test_prune_ends_with_a_table_and_the_model(run: Run, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.keras"
    result = run("prune", model, "--data", "digits", "--criterion", "kmeans", "--target-params", "0.36", "--out", out)
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == ARTIFACTS["pruned.keras"]
    for text in (
        JOB_ID,
        "pruning, iteration 1/2",
        "1,000",
        "400",
        "-60.0 %",
        "val accuracy",
        "+0.2500",
        "ms a call, keras",
        "2.00 (1.00-3.00)",
        "0.500 (0.250-0.750)",
        "-75.0 %",
        "Note: the labels were one-hot",
    ):
        assert text in result.output


def test_a_difference_of_latency_within_the_spread_is_none(run: Run, service: FakeService, model: Path) -> None:
    report = json.loads(ARTIFACTS["report.json"])
    report["steps"][-1]["latency"]["keras"]["third_quartile_seconds"] = 0.001
    serve_report(service, report)
    output = run("prune", model, "--ratio", "0.5").output
    assert "within spread" in output
    assert "-75.0 %" not in output


def test_the_report_of_an_older_worker_is_shown(run: Run, service: FakeService, model: Path) -> None:
    steps = [
        {"step": step, "params": 9, "macs": 9, "file_bytes": 9, "metrics": {"accuracy": 0.25}}
        for step in ("initial", "pruning")
    ]
    serve_report(service, {"schema_version": 1, "notes": [], "steps": steps})
    result = run("prune", model, "--ratio", "0.5")
    assert result.exit_code == 0, result.output
    assert re.search(r"val accuracy\W+0\.2500\W+0\.2500", result.output)
    assert "ms a call" not in result.output


def serve_report(service: FakeService, report: dict[str, Any]) -> None:
    """Let the service have another report for its job."""
    content = json.dumps(report).encode()
    path = f"/v1/jobs/{JOB_ID}/artifacts/report.json"
    service.answers["GET", path] = lambda _: httpx.Response(200, content=content, headers={"ETag": etag(content)})


def test_options_become_fields_of_the_spec(run: Run, service: FakeService, model: Path) -> None:
    options = "--iterations 3 --ratio 0.1 --exclude stem --exclude head --epochs 0 --fine-tuning-epochs 2 --seed 7"
    assert run("prune", model, *options.split(), "--name", "label").exit_code == 0
    sent = json.loads(next(request for request in service.requests if request.url.path == "/v1/jobs").content)
    assert sent == {
        "model": "mdl_1",
        "dataset": None,
        "name": "label",
        "pruning": {"ratio": 0.1, "num_iterations": 3, "exclude": ["stem", "head"], "seed": 7},
        "training": {"epochs": 0, "fine_tuning_epochs": 2, "seed": 7},
    }


def test_further_training_options_are_json(run: Run, service: FakeService, model: Path) -> None:
    options = ("--training", '{"optimizer": "adam", "epochs": 9}', "--epochs", "2")
    assert run("prune", model, "--ratio", "0.1", *options).exit_code == 0
    (submitted,) = [request for request in service.requests if request.url.path == "/v1/jobs"]
    assert json.loads(submitted.content)["training"] == {"optimizer": "adam", "epochs": 2}


def test_targets_and_further_pruning_options(run: Run, service: FakeService, model: Path) -> None:
    options = ("--target-macs", "0.5", "--round-to", "8", "--scope", "global", "--freeze", "stem", "--max-metric-drop")
    more = '{"max_ratio": 0.9, "target_latency": {"share": 0.5, "runtime": "litert"}}'
    assert run("prune", model, *options, "0.01", "--pruning", more).exit_code == 0
    sent = json.loads(next(request for request in service.requests if request.url.path == "/v1/jobs").content)
    assert sent["pruning"] == {
        "target_macs": 0.5, "round_to": 8, "scope": "global", "freeze": ["stem"],
        "max_metric_drop": 0.01, "max_ratio": 0.9, "target_latency": {"share": 0.5, "runtime": "litert"},
    }  # fmt: skip


def test_a_job_that_fails_is_1(run: Run, service: FakeService, model: Path) -> None:
    error = {"type": "/problems/training-failed", "detail": "The loss is NaN.", "hint": "Lower the learning rate."}
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(200, json=job_body("failed", error=error))
    for command in (("prune", model, "--ratio", "0.5"), ("status", JOB_ID)):
        result = run(*command)
        assert result.exit_code == 1
        assert "The loss is NaN." in result.output
        assert "Lower the learning rate." in result.output


def test_what_the_service_refuses_is_2(run: Run, service: FakeService, model: Path) -> None:
    service.answers["POST", "/v1/jobs"] = lambda _: problem(422, "invalid-spec", detail="No.", field="pruning.ratio")
    result = run("prune", model, "--ratio", "0.5")
    assert result.exit_code == 2
    assert "pruning.ratio" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("prune", "absent.keras"),
        ("prune", __file__, "--criterion", "nonsense"),
        ("plan", __file__, "--criterion", "nonsense"),
        ("plan", __file__, "--ratio", "0.5", "--local"),
        ("plan", __file__, "--ratio", "0.5", "--out", "absent/plan.json"),
        ("prune", __file__, "--training", "{"),
        ("prune", __file__, "--training", "[1]"),
        ("nonsense",),
        ("jobs", "--limit", "0"),
    ],
)
def test_bad_usage_is_2(run: Run, service: FakeService, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
    assert service.requests == []


def test_an_unknown_job_is_2(run: Run) -> None:
    assert run("status", "job_0").exit_code == 2


def test_a_service_that_does_not_answer_is_3(run: Run, service: FakeService, model: Path) -> None:
    service.answers |= {("GET", f"/v1/jobs/{JOB_ID}"): refuse, ("POST", "/v1/models"): refuse}
    for command in (("status", JOB_ID), ("prune", model, "--ratio", "0.5")):
        result = run(*command)
        assert result.exit_code == 3
        assert "ridurre serve" in result.output


def test_ctrl_c_cancels_the_job_and_is_130(run: Run, service: FakeService, model: Path) -> None:
    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = interrupt
    result = run("prune", model, "--ratio", "0.5")
    assert result.exit_code == 130
    assert service.requests[-1].url.path == f"/v1/jobs/{JOB_ID}/cancel"
    assert "Cancellation of job" in result.output


def test_ctrl_c_after_the_end_is_130_too(run: Run, service: FakeService, model: Path) -> None:
    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = interrupt
    service.answers["POST", f"/v1/jobs/{JOB_ID}/cancel"] = lambda _: problem(409, "conflict", detail="Finished.")
    result = run("prune", model, "--ratio", "0.5")
    assert result.exit_code == 130
    assert "already finished" in result.output


def test_jobs_status_cancel_and_download(run: Run, service: FakeService, tmp_path: Path) -> None:
    page: dict[str, Any] = {"items": [job_body("running", progress={"phase": "pruning", "fraction": 0.5})]}
    service.answers["GET", "/v1/jobs"] = lambda _: httpx.Response(200, json={**page, "next_cursor": None})
    listed = run("jobs")
    assert listed.exit_code == 0
    assert all(text in listed.output for text in (JOB_ID, "running", "kmeans", "pruning (50%)"))
    assert run("status", JOB_ID).exit_code == 0
    assert run("cancel", JOB_ID).exit_code == 0
    assert run("download", JOB_ID, "--out", tmp_path / "all").exit_code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == ARTIFACTS
    assert run("download", JOB_ID, "report.json", "--out", tmp_path / "r.json").exit_code == 0
    assert (tmp_path / "r.json").read_bytes() == ARTIFACTS["report.json"]


@pytest.mark.parametrize("name", [None, "pruned.keras"])
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("failed", "The loss is NaN."),
        ("cancelled", "was cancelled"),
        ("running", "no results yet"),
        ("queued", "queued"),
    ],
)
def test_a_download_of_nothing_is_1(
    run: Run, service: FakeService, tmp_path: Path, status: str, reason: str, name: str | None
) -> None:
    body = job_body(status, error={"detail": "The loss is NaN."} if status == "failed" else None)
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(200, json=body)
    service.answers["GET", f"/v1/jobs/{JOB_ID}/artifacts"] = lambda _: httpx.Response(200, json={"items": []})
    result = run("download", JOB_ID, *([] if name is None else [name]), "--out", tmp_path / "new")
    assert result.exit_code == 1, result.output
    assert reason in result.output
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("status", "code"), [("failed", 1), ("cancelled", 1), ("running", 0)])
def test_what_there_is_can_be_downloaded(
    run: Run, service: FakeService, tmp_path: Path, status: str, code: int
) -> None:
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(200, json=job_body(status))
    assert run("download", JOB_ID, "--out", tmp_path).exit_code == code
    assert {path.name for path in tmp_path.iterdir()} == set(ARTIFACTS)


def test_a_result_that_a_job_never_has_is_2(run: Run) -> None:
    assert run("download", JOB_ID, "absent.keras").exit_code == 2


def test_the_catalog_is_in_help_and_completion(run: Run) -> None:
    text = run("prune", "--help").output
    assert all(name in text for name in CRITERIA)
    assert ("kmeans", CRITERIA["kmeans"].summary) in complete_criterion("km")
    assert len(complete_criterion("")) == len(CRITERIA)


UGLY = "[/x] [exp]\x1b[31m\u202e\n\x9b2J"
SHOWN = r"[/x] [exp]\x1b[31m\u202e\n\x9b2J"


def test_names_are_printed_as_they_are(run: Run, service: FakeService) -> None:
    body = job_body("running", name=UGLY, progress={"phase": UGLY}, metrics={UGLY: 1.0})
    service.answers["GET", "/v1/jobs"] = lambda _: httpx.Response(200, json={"items": [body], "next_cursor": None})
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(200, json=body)
    listed, shown = run("jobs"), run("status", JOB_ID)
    assert listed.exit_code == shown.exit_code == 0, listed.output + shown.output
    assert listed.output.count(SHOWN) == 2
    assert shown.output.count(SHOWN) == 2


def test_errors_are_printed_as_they_are(run: Run, service: FakeService) -> None:
    answer = problem(422, "invalid-spec", detail="No [/x] \x1b[31m.", received="[exp]")
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: answer
    result = run("status", JOB_ID)
    assert result.exit_code == 2
    assert r"No [/x] \x1b[31m." in result.output
    assert "received: [exp]" in result.output


def test_paths_are_printed_as_they_are(run: Run, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d[" / "x]"
    folder.mkdir(parents=True)
    result = run("prune", model, "--ratio", "0.5", "--out", folder / "[exp].keras")
    assert result.exit_code == 0, result.output
    assert f"Wrote {folder}/[exp].keras" in result.output
    downloaded = run("download", JOB_ID, "report.json", "--out", folder / "[exp].json")
    assert downloaded.output == f"{folder}/[exp].json\n"


def test_what_a_job_tells_is_printed_as_it_is(run: Run, service: FakeService, model: Path) -> None:
    def tell(_: httpx.Request) -> httpx.Response:
        events = [event_body(1, phase=UGLY, metrics={UGLY: 0.5}), event_body(2, "status", status="succeeded")]
        return httpx.Response(200, json={"items": events, "cursor": "2-0"})

    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = tell
    report = json.dumps({"steps": [{"step": "initial", "metrics": {UGLY: 0.5}}]}).encode()
    headers = {"ETag": etag(report)}
    path = f"/v1/jobs/{JOB_ID}/artifacts/report.json"
    service.answers["GET", path] = lambda _: httpx.Response(200, content=report, headers=headers)
    result = run("prune", model, "--ratio", "0.5")
    assert result.exit_code == 0, result.output
    assert result.output.count(SHOWN) >= 2
    assert "\x1b" not in result.output


def test_a_bad_target_is_2_before_any_request(run: Run, service: FakeService, model: Path, tmp_path: Path) -> None:
    for arguments in (
        ("prune", model, "--ratio", "0.5", "--out", tmp_path / "x.h5"),
        ("prune", model, "--ratio", "0.5", "--local", "--out", tmp_path / "absent" / "x.keras"),
        ("download", JOB_ID, "report.json", "--out", tmp_path / "absent" / "r.json"),
        ("download", JOB_ID, "--out", model),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert "received: " in result.output
        assert "expected: " in result.output
    assert service.requests == []


def test_what_goes_wrong_after_the_job_names_the_job(run: Run, service: FakeService, model: Path) -> None:
    del service.answers["GET", f"/v1/jobs/{JOB_ID}/artifacts/report.json"]
    result = run("prune", model, "--ratio", "0.5")
    assert result.exit_code == 2
    assert f"ridurre download {JOB_ID}" in result.output


def test_an_outage_while_waiting_is_told_once(run: Run, service: FakeService, model: Path) -> None:
    failures = iter(range(8))

    def answer(request: httpx.Request) -> httpx.Response:
        return service.events(request) if next(failures, None) is None else refuse(request)

    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = answer
    result = run("prune", model, "--ratio", "0.5")
    assert result.exit_code == 0, result.output
    assert result.output.count("The service is unavailable") == 1


def test_a_service_that_stays_away_is_3_and_names_the_job(run: Run, service: FakeService, model: Path) -> None:
    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = refuse
    result = run("prune", model, "--ratio", "0.5")
    assert result.exit_code == 3
    assert f"ridurre status {JOB_ID}" in result.stderr


def test_ctrl_c_while_the_service_is_away_is_130_too(run: Run, service: FakeService, model: Path) -> None:
    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    service.answers["GET", f"/v1/jobs/{JOB_ID}/events"] = interrupt
    service.answers["POST", f"/v1/jobs/{JOB_ID}/cancel"] = refuse
    result = run("prune", model, "--ratio", "0.5")
    assert result.exit_code == 130
    assert f"ridurre cancel {JOB_ID}" in result.output


def test_how_far_to_go_must_be_said(run: Run, service: FakeService, model: Path) -> None:
    for command in (("prune",), ("prune", "--local"), ("plan",)):
        result = run(*command, model)
        assert result.exit_code == 2
        assert all(option in result.output for option in ("--ratio", "--target-params", "--max-filters-removed"))
    assert service.requests == []


@pytest.mark.parametrize("command", ["status", "cancel", "download"])
@pytest.mark.parametrize("job_id", ["", " "])
def test_an_empty_id_is_bad_usage(run: Run, service: FakeService, command: str, job_id: str) -> None:
    result = run(command, job_id)
    assert result.exit_code == 2
    assert "Usage" in result.output
    assert service.requests == []


def shown_options(output: str) -> set[str]:
    return set(re.findall(r"--[a-z-]+", output))


def test_plan_takes_what_prune_takes(run: Run) -> None:
    ours, theirs = (shown_options(run(command, "--help").output) for command in ("plan", "prune"))
    assert {"--target-macs", "--data", "--freeze", "--pruning", "--epochs"} < ours
    assert theirs - ours == {"--name", "--url", "--local", "--candidates", "--resume"}


@pytest.mark.parametrize(
    ("seconds", "spread", "verdict"),
    [
        (0.5, 0.01, "2.00 times as fast"),
        (0.9, 0.2, "no difference beyond the spread"),
        (2.0, 0.1, "0.50 times as fast"),
    ],
)
def test_a_difference_has_to_exceed_the_spread(seconds: float, spread: float, verdict: str) -> None:
    timed: Any = SimpleNamespace(seconds=seconds, spread=spread, seconds_beside=1.0, spread_beside=0.01)
    timed.runtime, timed.batch_size, timed.num_calls = "keras", 1, 30
    told = speed(timed)
    assert f"pruned {1000 * seconds:.3g} ms ± {100 * spread:.0f} %" in told
    assert "original 1e+03 ms ± 1 %" in told
    assert verdict in told


def test_version(run: Run) -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.output == f"ridurre {version('ridurre')}\n"


def test_tensorflow_is_silent_unless_told_otherwise(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def prune(*_: object, **__: object) -> None:
        seen.append(os.environ["TF_CPP_MIN_LOG_LEVEL"])
        raise RidurreError("Enough.")

    monkeypatch.setattr("ridurre.local.prune", prune)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    run("prune", model, "--ratio", "0.5", "--local")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    run("prune", model, "--ratio", "0.5", "--local")
    assert seen == ["0", "3"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RIDURRE_MAX_ATTEMPTS", "many"),
        ("RIDURRE_MAX_UPLOAD_BYTES", "0"),
        ("RIDURRE_REDIS_URL", "http://localhost"),
        ("RIDURRE_RUNNER_COMMAND", "{"),
        ("RIDURRE_HEARTBEAT_SECONDS", "90"),
    ],
)
def test_serve_names_the_variable_that_is_wrong(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = run("serve", "--port", "0", "--data-directory", tmp_path / "data")
    assert result.exit_code == 2, result.output
    assert variable.removeprefix("RIDURRE_") in result.output.upper()
    assert "pydantic" not in result.output
    assert not (tmp_path / "data").exists()


def test_export_knows_its_formats(run: Run, model: Path, tmp_path: Path) -> None:
    result = run("export", model, "nonsense", tmp_path / "x")
    assert result.exit_code == 2
    for name in EXPORT_FORMATS:
        assert name in result.output
        assert (name, EXPORT_FORMATS[name].summary) in complete_format(name[:2])
