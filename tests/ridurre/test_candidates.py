"""Candidates for people, and as files: a job of a sweep with a missed goal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from ridurre.cli import app
from ridurre.cli.candidates import compared, is_compared, nearest
from ridurre.client import Client
from ridurre.errors import RidurreError
from tests.ridurre.conftest import Call
from tests.ridurre.fake_service import ARTIFACTS, JOB_ID, REPORT, FakeService, etag, job_body

pytestmark = pytest.mark.fast


def candidate(name: str, macs: int, accuracy: float, **fields: Any) -> dict[str, Any]:
    """Return a candidate as the report has it; accuracy before is 0.9."""
    return {
        "name": name,
        "trial": name,
        "params": macs // 5,
        "macs": macs,
        "file_bytes": 2 * macs,
        "metrics": {"val_loss": 0.5, "val_accuracy": accuracy},
        "drop": 0.9 - accuracy,
        "meets_limits": False,
        **fields,
    }


BASELINE = {"method": "random", "metric": "val_accuracy", "mean": 0.525, "std": 0.0354, "values": [0.5, 0.55]}
STEP = {**REPORT["steps"][0], "metrics": {"val_loss": 0.3, "val_accuracy": 0.9}}  # type: ignore[dict-item,index]
SWEPT = {
    **REPORT,
    "steps": [STEP, {**STEP, "step": "restoring", "params": 500, "macs": 2500}],
    "pruning": {"target_macs": 0.4, "max_metric_drop": 0.01, "metric": None},
    "goal_met": False,
    "stopped_because": "3 trials completed; max_metric_drop 0.01 missed: val_accuracy went from 0.9000 to 0.8500",
    "candidates": [
        candidate("middle", 2500, 0.85),
        candidate("large", 4000, 0.899),
        candidate("small", 500, 0.3),
        candidate("beaten", 3000, 0.8),
        candidate("baseline-random-0", 2500, 0.5, baseline="random"),
        candidate("baseline-random-1", 2400, 0.55, baseline="random"),
    ],
    "delivered": "middle",
    "front": ["small", "middle", "large"],
    "baselines": [BASELINE],
}
FILES = {
    f"candidate-{name}{suffix}": f"{name}{suffix}" for name in ("small", "large") for suffix in (".keras", ".plan.json")
}


@pytest.fixture(autouse=True)
def swept(service: FakeService) -> None:
    """Let the job of the service be that of a sweep."""
    contents = {
        **ARTIFACTS,
        "report.json": json.dumps(SWEPT).encode(),
        **{name: text.encode() for name, text in FILES.items()},
    }
    items = [
        {
            "name": name,
            "media_type": "x/y",
            "size_bytes": len(content),
            "sha256": etag(content).strip('"'),
            "candidate": FILES[name].split(".")[0] if name in FILES else None,
        }
        for name, content in contents.items()
    ]
    told = {"goal_met": False, "stopped_because": SWEPT["stopped_because"], "artifacts": items}
    service.answers["GET", f"/v1/jobs/{JOB_ID}"] = lambda _: httpx.Response(200, json=job_body(**told))
    service.answers["GET", f"/v1/jobs/{JOB_ID}/artifacts"] = lambda _: httpx.Response(200, json={"items": items})

    def artifact(request: httpx.Request) -> httpx.Response:
        content = contents[request.url.path.rsplit("/", 1)[-1]]
        return httpx.Response(200, content=content, headers={"ETag": etag(content)})

    for name in contents:
        service.answers["GET", f"/v1/jobs/{JOB_ID}/artifacts/{name}"] = artifact


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.keras").write_bytes(b"abc")
    return tmp_path / "model.keras"


@pytest.fixture(autouse=True)
def _fake(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Client.__init__

    def make_with_fake(self: Client, url: str | None = None, **_: Any) -> None:
        make(self, url, transport=httpx.MockTransport(service))

    monkeypatch.setattr(Client, "__init__", make_with_fake)
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def rows(table: Any) -> list[list[str]]:
    """Return what a table shows, row by row, without its frame."""
    text = io.StringIO()
    Console(file=text, width=200).print(table)
    lines = [line for line in text.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_candidates_are_sorted_by_size_and_marked() -> None:
    assert is_compared(SWEPT)
    assert rows(compared(SWEPT)) == [
        ["small", "10.0 %", "0.3000", "+0.6000", "front, misses the limits"],
        ["middle", "50.0 %", "0.8500", "+0.0500", "delivered, front, misses the limits"],
        ["beaten", "60.0 %", "0.8000", "+0.1000", "misses the limits"],
        ["large", "80.0 %", "0.8990", "+0.0010", "front, misses the limits"],
        ["baseline random", "49.0 %", "0.5250 ± 0.0354", "-", "2 seeds"],
    ]


def test_a_run_of_one_trial_compares_nothing() -> None:
    report = {
        **SWEPT,
        "candidates": [candidate("iteration-1", 9, 0.5, trial=""), candidate("iteration-2", 8, 0.5, trial="")],
    }
    assert not is_compared(report)
    assert not is_compared(REPORT)


def test_nearest_are_those_that_miss_the_limits_by_least() -> None:
    # Beyond 0.4 of the MACs and 0.01 of accuracy, in shares of them: large by 1, middle by 0.25 + 4, beaten by 0.5 + 9.
    assert [row[0] for row in rows(nearest(SWEPT))] == ["large", "middle", "beaten"]


def test_without_macs_or_metrics_there_is_a_table_still() -> None:
    report = {
        **SWEPT,
        "steps": [{**STEP, "macs": None, "metrics": {}}],
        "candidates": [{**candidate("a", 500, 0.5), "macs": None, "metrics": {}, "drop": None}],
        "baselines": [],
    }
    assert rows(compared(report)) == [["a", "10.0 %", "-", "-", "misses the limits"]]


def test_a_missed_goal_is_4_and_says_what_is_nearest(model: Path, tmp_path: Path) -> None:
    result = run("prune", model, "--target-macs", "0.4", "--max-metric-drop", "0.01", "--candidates", tmp_path / "all")
    assert result.exit_code == 4, result.output
    assert (tmp_path / "model.pruned.keras").read_bytes() == ARTIFACTS["pruned.keras"]
    for text in (
        "Goal missed: ",
        "max_metric_drop 0.01 missed",
        "Nearest candidates",
        "Candidates, smallest first",
        "large",
    ):
        assert text in result.output
    assert {path.name: path.read_text() for path in (tmp_path / "all").iterdir()} == {
        text: text for text in FILES.values()
    }


def test_status_tells_of_goal_and_candidates() -> None:
    result = run("status", JOB_ID)
    assert result.exit_code == 0, result.output
    for text in ("goal missed: 3 trials completed", "candidate-small.keras", "80.0 %", "0.5250 ± 0.0354"):
        assert text in result.output


def test_candidates_are_downloaded_by_name_or_with_all(tmp_path: Path) -> None:
    assert run("download", JOB_ID, "--out", tmp_path / "results").exit_code == 0
    assert {path.name for path in (tmp_path / "results").iterdir()} == set(ARTIFACTS)
    assert run("download", JOB_ID, "--all", "--out", tmp_path / "all").exit_code == 0
    assert {path.name for path in (tmp_path / "all").iterdir()} == {*ARTIFACTS, *FILES}
    one = run("download", JOB_ID, "--candidate", "large", "--out", tmp_path / "one.keras")
    assert one.exit_code == 0, one.output
    assert (tmp_path / "one.keras").read_text() == "large.keras"
    absent = run("download", JOB_ID, "--candidate", "absent", "--out", tmp_path)
    assert absent.exit_code == 2
    assert "one of small, large" in absent.output
    assert run("download", JOB_ID, "--candidate", "large", "--all").exit_code == 2


def test_the_clients_download_candidates(call: Call, tmp_path: Path) -> None:
    job = call("job", JOB_ID)
    assert (job.goal_met, job.candidates) == (False, ("small", "large"))
    assert call("download_candidate", JOB_ID, "small", tmp_path).name == "candidate-small.keras"
    paths = call("download_candidates", JOB_ID, tmp_path / "all")
    assert [path.name for path in paths] == list(FILES.values())
    with pytest.raises(RidurreError, match="no such candidate"):
        call("download_candidate", JOB_ID, "absent", tmp_path)


def test_searches_sweeps_and_baselines_are_options(model: Path, service: FakeService) -> None:
    def sent(*options: str) -> dict[str, Any]:
        run("prune", model, *options)
        body: dict[str, Any] = json.loads(
            [each for each in service.requests if each.url.path == "/v1/jobs"][-1].content
        )
        return body

    assert sent("--max-metric-drop", "0.01", "--fine-tuning-epochs", "auto") == {
        "model": "mdl_1",
        "dataset": None,
        "pruning": {"max_metric_drop": 0.01},
        "training": {"fine_tuning_epochs": "auto"},
    }
    limits = ("--search-trials", "3", "--search-epochs", "9", "--search-minutes", "1.5")
    assert sent("--max-metric-drop", "0.01", *limits)["pruning"]["search"] == {
        "max_trials": 3, "max_epochs": 9, "max_minutes": 1.5,
    }  # fmt: skip
    more = ("--pruning", '{"sweep": {"measure": "params"}}', "--baselines", "random, from_scratch")
    swept = sent("--sweep-criteria", "l1_norm,taylor", "--sweep-sizes", "0.6,0.4", *more)["pruning"]
    assert swept["sweep"] == {"criteria": ["l1_norm", "taylor"], "sizes": [0.6, 0.4], "measure": "params"}
    assert swept["baselines"] == {"methods": ["random", "from_scratch"]}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--sweep-criteria", "l1_norm,luck"), "'luck' is not one of"),
        (("--sweep-criteria", "l1_norm"), "Set at least one of"),
        (("--sweep-sizes", "0.5,small"), "'small' is not a number"),
        (("--ratio", "0.5", "--fine-tuning-epochs", "many"), "not a number or auto"),
        (("--ratio", "0.5", "--resume", "state"), "--resume needs --local"),
    ],
)
def test_what_cannot_be_meant_is_bad_usage(
    model: Path, service: FakeService, options: tuple[str, ...], says: str
) -> None:
    result = run("prune", model, *options)
    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())
    assert service.requests == []
