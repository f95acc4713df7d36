"""The job's child, in this process: a job directory in, outputs and an answer out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning.plan import PruningPlan
from pruning.report import PruningReport
from tests.pruning.models import blobs, residual
from worker.runner import MAX_EVENT_BYTES, main


class Job:
    """Writes a job directory and runs it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("input", "work"):
            (directory / name).mkdir()

    def run(self, model: keras.Model, arrays: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
        model.save(self.directory / "input" / "model.keras")
        dataset = None
        if arrays is not None:
            np.savez(self.directory / "input" / "dataset.npz", **arrays)
            dataset = {"kind": "npz", "file": "input/dataset.npz"}
        if spec.pop("digits", False):
            dataset = {"kind": "builtin", "name": "digits"}
        job = {
            "job_id": "job_1",
            "spec": {
                "model": "mdl_1",
                "dataset": dataset and "dst_1",
                "pruning": {"criterion": "kmeans", "ratio": 0.5},
                **spec,
            },
            "model_file": "input/model.keras",
            "dataset": dataset,
        }  # fmt: skip
        (self.directory / "job.json").write_text(json.dumps(job))
        code = main([str(self.directory)])
        result: dict[str, Any] = json.loads((self.directory / "result.json").read_text())
        assert code == (0 if result["status"] == "succeeded" else 1)
        return result

    def error(self, *arguments: Any, **spec: Any) -> dict[str, Any]:
        result = self.run(*arguments, **spec)
        assert result["status"] == "failed"
        error: dict[str, Any] = result["error"]
        return error


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def arrays() -> dict[str, Any]:
    images, labels = blobs(48)
    return {"x_train": images, "y_train": labels}


def test_a_job_with_data(job: Job) -> None:
    result = job.run(
        residual(compiled=True), arrays(), training={"epochs": 1, "fine_tuning_epochs": 1, "batch_size": 16}
    )
    assert result["status"] == "succeeded"
    output = job.directory / "output"
    delivered = keras.saving.load_model(output / "pruned.keras")
    report = PruningReport.model_validate_json((output / "report.json").read_text())
    plan = PruningPlan.model_validate_json((output / "plan.json").read_text())
    assert delivered.count_params() == plan.params_after == report.after.params == result["metrics"]["params"]
    assert result["metrics"]["val_accuracy"] == report.after.metrics["val_accuracy"]
    assert result["metrics"]["file_bytes"] == (output / "pruned.keras").stat().st_size
    assert set(json.loads((output / "history.json").read_text())) == {"training", "fine-tuning 1"}
    lines = (job.directory / "events.jsonl").read_text().splitlines()
    assert all(len(line) < MAX_EVENT_BYTES for line in lines)
    assert json.loads(lines[-1])["phase"] == "saving"


def test_candidates_beside_the_delivered_one_are_files(job: Job) -> None:
    spec = {"sweep": {"criteria": ["l1_norm", "random"], "sizes": [0.5, 0.3]}, "baselines": {"num_seeds": 1}}
    result = job.run(residual(compiled=True), arrays(), pruning=spec, training={"fine_tuning_epochs": 1})
    output = job.directory / "output"
    report = PruningReport.model_validate_json((output / "report.json").read_text())
    told = {each["name"]: each["is_baseline"] for each in result["candidates"]}
    assert told == {each.name: each.baseline is not None for each in report.candidates}
    assert sum(told.values()) == 3
    assert result["delivered"] == report.delivered
    files = {path.name for path in (output / "candidates").iterdir()}
    aside = set(told) - {report.delivered}
    assert files == {f"{name}{suffix}" for name in aside for suffix in (".keras", ".plan.json")}
    for candidate in report.candidates:
        if candidate.name != report.delivered:
            model = keras.saving.load_model(output / "candidates" / f"{candidate.name}.keras")
            plan = PruningPlan.model_validate_json((output / "candidates" / f"{candidate.name}.plan.json").read_text())
            assert model.count_params() == plan.params_after == candidate.params


def test_files_of_the_front_are_kept_first(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.candidates.MAX_FILES", 1)
    spec = {"criterion": "l1_norm", "ratio": 0.2, "num_iterations": 3}
    result = job.run(residual(), pruning=spec)
    report = PruningReport.model_validate_json((job.directory / "output" / "report.json").read_text())
    assert len(report.candidates) == 3
    assert [each["name"] for each in result["candidates"]] == [report.front[0]]
    assert "only 1 of 3 candidates have files" in report.notes[-1]


def test_a_goal_that_is_missed_is_told(job: Job) -> None:
    result = job.run(
        residual(), pruning={"criterion": "l1_norm", "ratio": 0.2, "num_iterations": 1, "target_params": 0.3}
    )
    assert result["status"] == "succeeded"
    assert result["goal_met"] is False
    assert "target_params 0.3 missed" in result["stopped_because"]
    assert (job.directory / "output" / "pruned.keras").is_file()


def test_the_report_tells_the_size_of_the_file_that_is_delivered(job: Job) -> None:
    job.run(residual(compiled=True), arrays())
    report = PruningReport.model_validate_json((job.directory / "output" / "report.json").read_text())
    size = (job.directory / "output" / "pruned.keras").stat().st_size
    assert report.after.file_bytes == pytest.approx(size, rel=0.01)


def test_a_job_without_data_prunes_only(job: Job) -> None:
    result = job.run(residual())
    assert result["status"] == "succeeded"
    assert set(result["metrics"]) == {"params", "macs", "file_bytes"}


def test_a_built_in_dataset(job: Job) -> None:
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
    assert "val_accuracy" in job.run(model, digits=True)["metrics"]


def test_regression_targets_of_any_shape(job: Job) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, padding="same"), layers.Conv2D(2, 1)])
    images, _ = blobs(32)
    data = {"x_train": images, "y_train": images[..., :2]}
    result = job.run(
        model, data, training={"loss": "huber", "metrics": ["mean_absolute_error"], "fine_tuning_epochs": 1}
    )
    assert {"val_loss", "val_mean_absolute_error"} <= set(result["metrics"])


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"y_train": np.full(48, 4)}, "dataset.y_train", "labels from 4 to 4"),
        ({"x_train": np.full((48, 8, 8, 3), np.nan)}, "dataset.x_train", "first in sample 0"),
        ({"x_train": np.ones((48, 9, 9, 3))}, "dataset.x_train", "(9, 9, 3)"),
        ({"y_train": np.arange(47)}, "dataset", "y_train: 47"),
    ],
)
def test_a_bad_dataset_is_named(job: Job, change: dict[str, Any], field: str, says: str) -> None:
    error = job.error(residual(compiled=True), arrays() | change)
    assert (error["code"], error["field"]) == ("unusable-dataset", field)
    assert says in error["received"]


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ({"pruning": {"ratio": 0.5, "exclude": ["nowhere"]}}, "invalid-spec", "pruning.exclude"),
        ({"training": {"loss": "nonsense"}}, "invalid-spec", "training.loss"),
        ({"training": {"learning_rate": 1e30}}, "training-failed", "training.learning_rate"),
    ],
)
def test_a_bad_spec_is_named(job: Job, spec: dict[str, Any], code: str, field: str) -> None:
    error = job.error(residual(compiled=True), arrays(), **spec)
    assert (error["code"], error["field"]) == (code, field)


def test_a_model_with_nothing_to_prune(job: Job) -> None:
    error = job.error(keras.Sequential([keras.Input((3,)), layers.Dense(2, name="only")]))
    assert error["code"] == "nothing-to-prune"
    assert "only" in error["received"]


def test_a_defect_is_told_without_its_internals(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(directory: Path) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("worker.runner.run", broken)
    detail = "The job failed with an unexpected ZeroDivisionError."
    assert job.error(residual()) == {"code": "crashed", "detail": detail}
