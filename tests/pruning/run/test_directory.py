"""The directory of a run: refused for another run, read in spite of a torn checkpoint, and done once it is done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pruning import prune
from pruning.errors import CheckpointError
from pruning.pipeline import PruningResult
from tests.pruning.models import blobs
from tests.pruning.run.runs import TRAINING as RUN_TRAINING
from tests.pruning.run.runs import assert_same, counted, interrupted_after, network, run

SPEC = {"criterion": "l1_norm", "ratio": 0.25, "num_iterations": 2}
TRAINING: dict[str, Any] = {"epochs": 1, "fine_tuning_epochs": 2, "post_training_epochs": 0}
NO_STEPS = "training was asked for"


@pytest.fixture(scope="module")
def whole() -> PruningResult:
    """What the run comes to without interruption."""
    return run(None, SPEC, TRAINING)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose run stopped within the last fine-tuning."""
    patch, folder = pytest.MonkeyPatch(), tmp_path_factory.mktemp("runs")
    number = counted(patch, folder / "counted", SPEC, TRAINING)[0]
    with interrupted_after(patch, number - 3):
        run(folder / "interrupted", SPEC, TRAINING)
    return folder / "interrupted"


@pytest.fixture
def directory(interrupted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(interrupted, tmp_path / "run")


def checkpoints(directory: Path) -> list[Path]:
    return sorted((directory / "checkpoints").iterdir())


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError(NO_STEPS)

    monkeypatch.setattr(keras.Model, "fit", refuse)


def retrained() -> keras.Model:
    model = network()
    model.get_layer("head").bias.assign(np.ones(4))
    return model


def wider() -> keras.Model:
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(9, 3, name="first")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="head")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def other_sample() -> Any:
    images, labels = blobs(96)
    images[5, 1, 1, 1] += 1
    return (images, labels), blobs(32, seed=1)


def other_label() -> Any:
    images, labels = blobs(32, seed=1)
    labels[0] = (labels[0] + 1) % 4
    return blobs(96), (images, labels)


def recompiled(**changes: Any) -> Callable[[], keras.Model]:
    def make() -> keras.Model:
        model = network()
        model.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **changes})
        return model

    return make


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "weights": ({"model": retrained}, "model.weights"),
    "architecture": ({"model": wider}, "model.architecture"),
    "loss": ({"model": recompiled(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))}, "compiled.loss"),
    "loss weights": ({"model": recompiled(loss_weights=[0.5])}, "compiled.loss_weights"),
    "pruning": ({"spec": {**SPEC, "ratio": 0.5}}, "pruning.ratio 0.5 instead of 0.25"),
    "criterion": ({"spec": {**SPEC, "criterion": "random"}}, "pruning.criterion 'random' instead of 'l1_norm'"),
    "training": ({"training": {**TRAINING, "seed": 7}}, "training.seed 7 instead of 0"),
    "optimizer": ({"training": {**TRAINING, "optimizer": "sgd"}}, "training.optimizer"),
    "a sample": ({"data": other_sample}, "data"),
    "a label": ({"data": other_label}, "data"),
    "no data": ({"data": lambda: None}, "data"),
}


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("difference", OTHERS)
def test_another_run_is_refused_with_what_differs(difference: str, directory: Path) -> None:
    changed, told = OTHERS[difference]
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    model, data = changed.get("model", network), changed.get("data", lambda: (blobs(96), blobs(32, seed=1)))
    training = RUN_TRAINING | TRAINING | changed.get("training", {})
    with pytest.raises(CheckpointError) as caught:
        prune(model(), changed.get("spec", SPEC), data(), training=training, checkpoint_directory=directory)
    assert told in str(caught.value.received)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("name", ["keras", "backend", "ridurre", "python"])
def test_a_run_of_another_version_is_refused(name: str, directory: Path) -> None:
    path = directory / "run.json"
    stored = json.loads(path.read_text())
    stored["versions"][name] = "0.0"
    path.write_text(json.dumps(stored))
    with pytest.raises(CheckpointError) as caught:
        run(directory, SPEC, TRAINING)
    received = str(caught.value.received)
    assert received.startswith(f"versions.{name} ")
    assert received.endswith(" instead of '0.0'")


@pytest.mark.usefixtures("no_training")
def test_a_description_that_cannot_be_read_is_refused(directory: Path) -> None:
    (directory / "run.json").write_bytes((directory / "run.json").read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="description"):
        run(directory, SPEC, TRAINING)


def _truncated(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def _flipped(name: str) -> Callable[[Path], object]:
    def flip(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return flip


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated arrays": _truncated("arrays.npz"),
    "truncated state": _truncated("state.json"),
    "a bit of the arrays": _flipped("arrays.npz"),
    "a bit of the state": _flipped("state.json"),
    "no arrays": lambda folder: (folder / "arrays.npz").unlink(),
    "no state": lambda folder: (folder / "state.json").unlink(),
    "an empty folder": _emptied,
    "still under another name": lambda folder: folder.rename(folder.with_suffix(".tmp")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_torn_checkpoint_costs_one_step_and_changes_nothing(
    damage: str, directory: Path, whole: PruningResult
) -> None:
    DAMAGES[damage](checkpoints(directory)[-1])
    assert_same(run(directory, SPEC, TRAINING), whole)


def test_a_torn_checkpoint_does_not_take_the_place_of_one_that_can_be_read(
    directory: Path, whole: PruningResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is torn again right after the run went on."""
    for _ in range(2):
        _emptied(checkpoints(directory)[-1])
        with interrupted_after(monkeypatch, 1):
            run(directory, SPEC, TRAINING)
    _emptied(checkpoints(directory)[-1])
    assert_same(run(directory, SPEC, TRAINING), whole)


def test_what_others_left_in_the_folder_is_no_checkpoint(directory: Path, whole: PruningResult) -> None:
    (directory / "checkpoints" / ".DS_Store").write_bytes(b"")
    (directory / "checkpoints" / "999999.tmp").mkdir()
    (directory / "checkpoints" / "999999.tmp" / "state.json").write_bytes(b"half of")
    assert_same(run(directory, SPEC, TRAINING), whole)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("damage", ["truncated arrays", "truncated state", "an empty folder"])
def test_without_a_checkpoint_that_can_be_read_the_run_does_not_begin_anew(damage: str, directory: Path) -> None:
    for folder in checkpoints(directory):
        DAMAGES[damage](folder)
    with pytest.raises(CheckpointError) as caught:
        run(directory, SPEC, TRAINING)
    assert str(directory) in str(caught.value.received)


def test_a_directory_without_a_checkpoint_yet_is_begun(directory: Path, whole: PruningResult) -> None:
    """The process ended between the description of the run and its first checkpoint."""
    for folder in (*checkpoints(directory), *(directory / "models").iterdir()):
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    assert_same(run(directory, SPEC, TRAINING), whole)


def test_no_more_than_two_checkpoints_stay(interrupted: Path) -> None:
    assert len(checkpoints(interrupted)) == 2


def test_a_run_that_is_done_is_only_read(
    directory: Path, whole: PruningResult, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    first = run(directory, SPEC, TRAINING)
    request.getfixturevalue("no_training")
    again = run(directory, SPEC, TRAINING)
    assert_same(first, whole)
    assert_same(again, whole)
    _truncated("iteration-1.npz")(directory / "models")
    with pytest.raises(CheckpointError, match="damaged"):
        again.candidate("iteration-1")


def test_a_damaged_model_is_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, training = {"sweep": {"sizes": [0.6, 0.4]}}, {"epochs": 0, "fine_tuning_epochs": 0, "post_training_epochs": 0}
    with interrupted_after(monkeypatch, 4):
        run(tmp_path, spec, training)
    _truncated("base.npz")(tmp_path / "models")
    with pytest.raises(CheckpointError, match="damaged") as caught:
        run(tmp_path, spec, training)
    assert str(caught.value.received).endswith("base.npz")
