"""What a model and its optimizer hold goes into arrays and files and comes back bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pruning.recovery.snapshot import Snapshot
from pruning.recovery.training_state import TrainingSnapshot, TrainingState
from pruning.run.files import read_arrays, write_arrays
from pruning.surgery.rebuild import copy_model
from tests.pruning.models import blobs, half, same, values
from tests.pruning.run.runs import network

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True, use_ema=True),
    "adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "accumulating": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3),
}


def compiled(model: keras.Model, optimizer: Any) -> keras.Model:
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def fit(model: keras.Model, epochs: int = 1) -> None:
    model.fit(*blobs(64), batch_size=16, epochs=epochs, shuffle=False, verbose=0)


def all_of(model: keras.Model) -> list[np.ndarray]:
    return [*values(model), *(np.asarray(each) for each in model.optimizer.variables)]


def through_a_file(snapshot: Snapshot, path: Path) -> Snapshot:
    write_arrays(path, snapshot.arrays)
    return Snapshot.from_arrays(read_arrays(path))


@pytest.mark.parametrize("frozen", [[], ["first", "second"]])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_goes_on_from_a_snapshot_as_if_nothing_had_been(kind: str, frozen: list[str], tmp_path: Path) -> None:
    """With dropout, whose seeds go on too, and layers that the optimizer knows nothing of."""
    first, second = network(), network()
    for model in (first, second):
        for name in frozen:
            model.get_layer(name).trainable = False
    compiled(first, OPTIMIZERS[kind]())
    compiled(second, OPTIMIZERS[kind]())
    fit(first)
    through_a_file(Snapshot.of(first), tmp_path / "arrays.npz").into(second)
    assert same(all_of(first), all_of(second))
    fit(first)
    fit(second)
    assert same(all_of(first), all_of(second))


def test_a_snapshot_stays_when_the_model_changes() -> None:
    model = compiled(network(), "adam")
    fit(model)
    snapshot, before = Snapshot.of(model), all_of(model)
    fit(model)
    assert not same(before, all_of(model))
    snapshot.into(model)
    assert same(before, all_of(model))


def test_an_optimizer_without_a_state_has_none_afterwards() -> None:
    model, other = compiled(network(), "adam"), compiled(network(), "adam")
    snapshot = Snapshot.of(model)
    assert (snapshot.trained, snapshot.optimizer) == (None, ())
    snapshot.into(other)
    assert not other.optimizer.built


def test_half_precision_comes_back_from_a_file(tmp_path: Path) -> None:
    model = half()
    other = copy_model(model)
    for variable in other.variables:
        variable.assign(keras.ops.zeros_like(variable))
    through_a_file(Snapshot.of(model), tmp_path / "arrays.npz").into(other)
    assert same(_full(model), _full(other))
    assert {each.dtype for each in other.variables} == {"bfloat16"}


def _full(model: keras.Model) -> list[np.ndarray]:
    """Return all variables in a precision that NumPy knows."""
    return [np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(each, "float32"))) for each in model.variables]


@pytest.mark.parametrize("best", [None, [np.arange(3.0), np.ones((2, 2))]])
@pytest.mark.parametrize("averages", [None, [np.array(3), np.zeros(2)]])
def test_what_belongs_to_a_phase_comes_back(best: Any, averages: Any, tmp_path: Path) -> None:
    model = compiled(network(), "adam")
    fit(model)
    state = TrainingState(epochs=1)
    write_arrays(tmp_path / "arrays.npz", TrainingSnapshot(state, Snapshot.of(model), best, averages).arrays)
    found = TrainingSnapshot.from_arrays(state, read_arrays(tmp_path / "arrays.npz"))
    assert same(found.snapshot.variables, values(model))
    for before, after in ((best, found.best), (averages, found.averages)):
        assert (before is None) == (after is None)
        assert before is None or same(before, after)
