"""What comes of limits, searches and sweeps over HTTP, and whether the files hold what the report says of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import ridurre
from pruning import PruningPlan

pytestmark = pytest.mark.e2e

NUM_TRAIN, WAIT_SECONDS = 1000, 500
MEASURE = Path(__file__).with_name("measure_candidates.py")
TRAINING = {"fine_tuning_epochs": 1, "batch_size": 32, "learning_rate": 0.003}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits with their split given: the first thousand are for training."""
    digits = load_digits()
    images, labels = digits.images[..., None].astype("float32") / 16, digits.target
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    parts = {"train": slice(NUM_TRAIN), "val": slice(NUM_TRAIN, None)}
    np.savez(
        path,
        **{f"{name}_{part}": array[at] for part, at in parts.items() for name, array in (("x", images), ("y", labels))},
    )
    return path


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    """A small network that is trained already."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(inputs)
    hidden = layers.Dense(24, activation="relu", name="second")(layers.Flatten()(hidden))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax", name="head")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with np.load(data) as arrays:
        model.fit(arrays["x_train"], arrays["y_train"], batch_size=32, epochs=10, verbose=0)
    model.save(data.with_name("model.keras"))
    return data.with_name("model.keras")


def done(client: ridurre.Client, model: Path, data: Path, **pruning: Any) -> tuple[ridurre.Job, dict[str, Any]]:
    """Run a job to its success and return it with its report."""
    uploaded, dataset = client.upload_model(model), client.upload_dataset(data)
    job = client.submit(uploaded, dataset, training=TRAINING, **pruning)
    fractions: list[float] = []
    job = client.wait(job.id, timeout_seconds=WAIT_SECONDS, on_event=lambda each: fractions.append(fraction(each)))
    assert job.raise_unless_succeeded().status == "succeeded"
    told = [each for each in fractions if each >= 0]
    assert told == sorted(told)
    return job, client.report(job.id)


def fraction(event: ridurre.Event) -> float:
    return float(event.data.get("fraction", -1))


def measured(paths: list[Path]) -> dict[str, dict[str, float]]:
    """Measure model files in a process that knows nothing of this project."""
    command = [sys.executable, "-I", str(MEASURE), str(NUM_TRAIN), *map(str, paths)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {Path(path).name: figures for path, figures in json.loads(printed).items()}


def assert_as_told(
    client: ridurre.Client, job: ridurre.Job, report: dict[str, Any], folder: Path
) -> dict[str, dict[str, float]]:
    """Download every candidate, and the delivered model, and hold them to what the report says of them.

    Returns:
        What was measured of each file.
    """
    paths = [path for path in client.download_candidates(job.id, folder) if path.suffix == ".keras"]
    paths.append(client.download(job.id, "pruned.keras", folder))
    figures, told = measured(paths), {each["name"]: each for each in report["candidates"]}
    assert set(figures) == {f"{name}.keras" for name in told} | {"pruned.keras"}
    for name, each in {**told, "pruned": told[report["delivered"]]}.items():
        own = figures[f"{name}.keras"]
        assert own["val_accuracy"] == pytest.approx(each["metrics"]["val_accuracy"], abs=1e-6)
        assert (own["params"], own["macs"]) == (each["params"], each["macs"])
    for name, each in told.items():
        plan = PruningPlan.model_validate_json((folder / f"{name}.plan.json").read_text())
        assert (plan.params_after, plan.macs_after) == (each["params"], each["macs"])
    points = {
        name: (figures[f"{name}.keras"]["macs"], figures[f"{name}.keras"]["val_accuracy"])
        for name, each in told.items()
        if each["baseline"] is None
    }
    assert [points[name] for name in report["front"]] == front(set(points.values()))
    return figures


def front(points: set[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (MACs, accuracy) that no other one beats, the smallest first: from the definition."""
    return sorted(
        own for own in points if not any(other[0] <= own[0] and other[1] >= own[1] for other in points if other != own)
    )


def test_a_point_that_cannot_be_held_is_told_with_what_is_nearest(
    client: ridurre.Client, model: Path, data: Path, tmp_path: Path
) -> None:
    job, report = done(client, model, data, target_macs=0.08, max_metric_drop=0.001, num_iterations=2)
    assert job.goal_met is report["goal_met"] is False
    assert "max_metric_drop 0.001 missed" in str(job.stopped_because)
    assert job.metrics is not None
    assert job.metrics["macs"] == report["steps"][-1]["macs"]
    assert_as_told(client, job, report, tmp_path)


def test_a_point_that_can_be_held(client: ridurre.Client, model: Path, data: Path, tmp_path: Path) -> None:
    job, report = done(client, model, data, target_macs=0.5, max_metric_drop=0.1)
    assert job.goal_met is report["goal_met"] is True
    assert_as_told(client, job, report, tmp_path)
    before, after = report["steps"][0], report["steps"][-1]
    assert after["macs"] <= 0.5 * before["macs"]
    assert before["metrics"]["val_accuracy"] - after["metrics"]["val_accuracy"] <= 0.1


def test_the_smallest_within_a_drop(client: ridurre.Client, model: Path, data: Path, tmp_path: Path) -> None:
    job, report = done(client, model, data, max_metric_drop=0.05, search={"max_trials": 4})
    assert_as_told(client, job, report, tmp_path)
    before = report["steps"][0]["metrics"]["val_accuracy"]
    within = [each for each in report["candidates"] if before - each["metrics"]["val_accuracy"] <= 0.05]
    assert job.goal_met is bool(within)
    smallest = min(each["macs"] for each in within)
    assert next(each for each in within if each["name"] == report["delivered"])["macs"] == smallest


def test_a_sweep_and_its_front(client: ridurre.Client, model: Path, data: Path, tmp_path: Path) -> None:
    sweep = {"criteria": ["l1_norm", "taylor", "random", "kmeans"], "sizes": [0.7, 0.5, 0.3]}
    baselines = {"methods": ["random"], "num_seeds": 2}
    job, report = done(client, model, data, sweep=sweep, baselines=baselines, max_metric_drop=0.1)
    trials = {f"{criterion}-{size:g}" for criterion in sweep["criteria"] for size in sweep["sizes"]}
    assert {each["trial"] for each in report["candidates"] if each["baseline"] is None} == trials
    figures = assert_as_told(client, job, report, tmp_path)
    is_baseline = {each.candidate: each.is_baseline for each in job.artifacts if each.candidate is not None}
    assert is_baseline == {each["name"]: each["baseline"] is not None for each in report["candidates"]}
    assert len(is_baseline) == 12 + 2
    (baseline,) = report["baselines"]
    values = [own["val_accuracy"] for name, own in figures.items() if name.startswith("baseline-random")]
    assert baseline["mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert baseline["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
