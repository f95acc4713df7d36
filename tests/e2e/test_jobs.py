"""The main job over HTTP: real models, real training, real faults."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import ridurre
from pruning import PruningPlan, PruningSpec, apply_plan, load_model, make_plan, verify
from tests.e2e.conftest import Service
from tests.processes import running_in
from tests.pruning.datasets.test_images import encoded
from tests.pruning.datasets.test_loading import image_folder
from tests.pruning.models import blobs, residual, same, values
from tests.shared import shared
from tests.strategies import randomise
from tests.uploads import zipped
from tests.worker.conftest import wait_until

pytestmark = pytest.mark.e2e

WAIT_SECONDS = 500

EVALUATE = """
import sys
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
data = np.load(sys.argv[2])
print("accuracy", np.mean(np.argmax(model.predict(data["x_val"], verbose=0), axis=1) == data["y_val"]))
"""


def uploaded(client: ridurre.Client, model: keras.Model, directory: Path, suffix: str = ".keras") -> str:
    path = directory / f"model{suffix}"
    model.save(path)
    return client.upload_model(path).id


def arrays(directory: Path, **changes: Any) -> Path:
    (images, labels), (x_val, y_val) = blobs(200), blobs(100, seed=5)
    path = directory / "data.npz"
    np.savez(path, **{"x_train": images, "y_train": labels, "x_val": x_val, "y_val": y_val, **changes})
    return path


def test_the_reported_accuracy_is_that_of_the_downloaded_file(client: ridurre.Client, tmp_path: Path) -> None:
    data = arrays(tmp_path)
    job = client.submit(
        model=uploaded(client, residual(compiled=True), tmp_path),
        dataset=client.upload_dataset(data),
        criterion="kmeans",
        target_params=0.4,
        num_iterations=3,
        training={"epochs": 2, "fine_tuning_epochs": 2, "post_training_epochs": 1, "learning_rate": 0.05},
    )
    seen = []
    job = client.wait(job.id, timeout_seconds=WAIT_SECONDS, on_event=seen.append)
    assert job.status == "succeeded", job
    for artifact in client.artifacts(job.id):
        client.download(job.id, artifact.name, tmp_path / artifact.name)
    report = client.report(job.id)
    steps = report["steps"]
    assert [step["step"] for step in steps].count("pruning") == 3
    assert steps[-1]["params"] <= 0.4 * steps[0]["params"]
    # A clean process that knows nothing of this project reproduces the figure.
    printed = subprocess.run(
        [sys.executable, "-c", EVALUATE, str(tmp_path / "pruned.keras"), str(data)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    accuracy = float(re.search(r"accuracy ([\d.]+)", printed).group(1))  # type: ignore[union-attr]
    assert accuracy == pytest.approx(steps[-1]["metrics"]["val_accuracy"], abs=0.001)
    plan = PruningPlan.model_validate_json((tmp_path / "plan.json").read_text())
    shapes = [variable.shape for variable in apply_plan(residual(), plan).weights]
    assert shapes == [variable.shape for variable in load_model(tmp_path / "pruned.keras").weights]
    assert {event.kind for event in seen} == {"status", "progress"}


def test_an_image_folder_is_trained_on(client: ridurre.Client, tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(layers.Rescaling(1 / 255)(inputs)))
    model = uploaded(client, keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden)), tmp_path)
    dataset = client.upload_dataset(image_folder(tmp_path / "images.zip"))
    job = client.submit(model=model, dataset=dataset, ratio=0.5, training={"epochs": 1, "fine_tuning_epochs": 1})
    job = client.wait(job.id, timeout_seconds=WAIT_SECONDS)
    assert job.status == "succeeded", job
    assert "val_accuracy" in job.metrics


@pytest.mark.parametrize("targets", ["masks", "table"])
def test_images_with_other_targets_are_trained_on(client: ridurre.Client, tmp_path: Path, targets: str) -> None:
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(inputs))
    if targets == "masks":
        model = keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax")(x))
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    else:
        model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
        model.compile("sgd", "mean_squared_error", metrics=["mean_absolute_error"])
    generator = np.random.default_rng(0)
    files: dict[str, bytes] = {"train.csv": b"image,x,y\n"} if targets == "table" else {}
    for number in range(20):
        image = generator.integers(0, 255, (8, 8, 3), np.uint8)
        files[f"train/images/{number}.png"] = encoded(image)
        if targets == "masks":
            files[f"train/masks/{number}.png"] = encoded((image[..., 0] > 127).astype(np.uint8))
        else:
            files["train.csv"] += f"{number}.png,{image[..., 0].mean() / 255},{number / 20}\n".encode()
    (tmp_path / "images.zip").write_bytes(zipped(files))
    dataset = client.upload_dataset(tmp_path / "images.zip")
    job = client.submit(
        model=uploaded(client, model, tmp_path),
        dataset=dataset,
        ratio=0.5,
        training={"epochs": 1, "fine_tuning_epochs": 1},
    )
    job = client.wait(job.id, timeout_seconds=WAIT_SECONDS)
    assert job.status == "succeeded", job
    assert ("val_accuracy" if targets == "masks" else "val_mean_absolute_error") in job.metrics


def test_a_model_that_keras_2_saved_is_given_back_pruned(client: ridurre.Client, tmp_path: Path) -> None:
    original = shared("data/models/mlperf-tiny-resnet8.h5")
    job = client.submit(model=client.upload_model(original), criterion="kmeans", ratio=0.5)
    job = client.wait(job.id, timeout_seconds=WAIT_SECONDS)
    assert job.status == "succeeded", job
    for name in ("pruned.keras", "plan.json"):
        client.download(job.id, name, tmp_path / name)
    plan = PruningPlan.model_validate_json((tmp_path / "plan.json").read_text())
    assert verify(load_model(original), load_model(tmp_path / "pruned.keras"), plan).passed


def test_a_killed_child_fails_its_job_and_the_worker_takes_the_next(
    service: Service, client: ridurre.Client, tmp_path: Path
) -> None:
    model, dataset = uploaded(client, residual(compiled=True), tmp_path), client.upload_dataset(arrays(tmp_path))
    job = client.submit(model=model, dataset=dataset, ratio=0.5, training={"epochs": 10_000})
    following = client.submit(model=model, ratio=0.5)
    wait_until(lambda: client.job(job.id).progress is not None and client.job(job.id).progress.phase == "training")
    (child,) = running_in(service.settings.workspace_directory)
    os.kill(child, signal.SIGKILL)
    killed = client.wait(job.id, timeout_seconds=WAIT_SECONDS)
    assert killed.status == "failed"
    assert killed.error is not None
    assert "SIGKILL" in killed.error["detail"]
    assert client.wait(following.id, timeout_seconds=WAIT_SECONDS).status == "succeeded"


def test_a_killed_api_loses_nothing(service: Service, client: ridurre.Client, tmp_path: Path) -> None:
    model, dataset = uploaded(client, residual(compiled=True), tmp_path), client.upload_dataset(arrays(tmp_path))
    running = client.submit(model=model, dataset=dataset, ratio=0.5, training={"epochs": 20, "fine_tuning_epochs": 1})
    queued = client.submit(model=model, ratio=0.25)
    wait_until(lambda: client.job(running.id).status == "running")
    service.api.kill()
    service.api.wait()
    service.start_api()
    for job in (running, queued):
        done = client.wait(job.id, timeout_seconds=WAIT_SECONDS)
        assert (done.status, done.attempt) == ("succeeded", 1)
        client.download(job.id, "pruned.keras", tmp_path / "pruned.keras")


def test_bad_input_that_only_a_job_can_see_is_told_and_loses_nothing(client: ridurre.Client, tmp_path: Path) -> None:
    model = uploaded(client, residual(compiled=True), tmp_path)
    legacy = uploaded(client, residual(compiled=True), tmp_path, suffix=".h5")
    outside = client.upload_dataset(arrays(tmp_path, y_train=np.full(200, 11))).id
    holes = client.upload_dataset(arrays(tmp_path, x_train=np.full((200, 8, 8, 3), np.nan, "float32"))).id
    hopeless = uploaded(client, keras.Sequential([keras.Input((3,)), layers.Dense(2)]), tmp_path)
    cases = [
        (client.submit(model=model, dataset=outside, ratio=0.5), "unusable-dataset", "dataset.y_train"),
        (client.submit(model=model, dataset=holes, ratio=0.5), "unusable-dataset", "dataset.x_train"),
        (client.submit(model=legacy, ratio=0.5, exclude=["nowhere"]), "invalid-spec", "pruning.exclude"),
        (client.submit(model=hopeless, ratio=0.5), "nothing-to-prune", "model"),
    ]
    for job, code, field in cases:
        error = client.wait(job.id, timeout_seconds=WAIT_SECONDS).error
        assert error is not None
        assert (error["type"], error["field"]) == (f"/problems/{code}", field)
        assert error["received"]
        assert error["expected"]
    good = client.submit(model=model, ratio=0.5)
    assert client.wait(good.id, timeout_seconds=WAIT_SECONDS).status == "succeeded"


def test_twenty_jobs_of_five_clients(service: Service, tmp_path: Path) -> None:
    """Every client gets its own results, bit for bit those of the library."""

    def four_jobs(number: int) -> list[tuple[keras.Model, float, ridurre.Job]]:
        directory = tmp_path / str(number)
        directory.mkdir()
        model = residual()
        randomise(model, seed=100 + number)
        with service.client() as client:
            uploaded_id = uploaded(client, model, directory)
            return [
                (model, ratio, client.submit(model=uploaded_id, criterion="l1_norm", ratio=ratio))
                for ratio in (0.2, 0.4, 0.6, 0.8)
            ]

    with ThreadPoolExecutor(5) as pool:
        submitted = [job for jobs in pool.map(four_jobs, range(5)) for job in jobs]
    assert len(submitted) == 20
    with service.client() as client:
        for model, ratio, job in submitted:
            assert client.wait(job.id, timeout_seconds=WAIT_SECONDS).status == "succeeded"
            client.download(job.id, "pruned.keras", tmp_path / "pruned.keras")
            expected = apply_plan(model, make_plan(model, PruningSpec(criterion="l1_norm", ratio=ratio)))
            assert same(values(load_model(tmp_path / "pruned.keras")), values(expected))
            assert zipfile.is_zipfile(tmp_path / "pruned.keras")
