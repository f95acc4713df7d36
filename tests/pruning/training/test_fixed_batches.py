"""Models that take batches of one size alone: trained, measured and looked at in batches of that size."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import prune
from pruning.datasets.data import Data
from pruning.keras_model.parts import stateful_layers, without_states
from pruning.recovery.fitting import Recovery
from pruning.spec import TrainingSpec
from pruning.training.batches import Batches
from pruning.training.compiling import Compiling
from pruning.training.fixed_batches import in_fixed_batches

X = np.random.default_rng(0).normal(size=(45, 6, 4)).astype("float32")
Y = X[:, 0, :1]
SIZE = 8


def model(*hidden: Any) -> keras.Model:
    made = keras.Sequential([keras.Input(batch_shape=(SIZE, 6, 4)), *hidden, layers.Dense(1)])
    made.compile("adam", "mse", metrics=["mae"])
    return made


MODELS = {
    "stateful LSTM": lambda: model(layers.LSTM(8, stateful=True)),
    "two stateful GRUs": lambda: model(
        layers.Dense(6), layers.Bidirectional(layers.GRU(6, stateful=True, return_sequences=True)),
        layers.GRU(6, stateful=True),
    ),
    "convolutions": lambda: model(
        layers.Conv1D(8, 3), layers.BatchNormalization(), layers.ReLU(), layers.Conv1D(6, 3), layers.Flatten()
    ),
}  # fmt: skip


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_last_batch_is_filled_up(shuffle: bool) -> None:
    made = model(layers.Flatten())
    structures = made.inputs[0], made.outputs[0]
    rows = np.arange(21.0)
    batches = Batches({"x": rows}, {"y": rows}, structures, batch_size=SIZE, shuffle=shuffle, is_filled=True)
    seen = [batches[index][0] for index in range(len(batches))]
    assert [len(each) for each in seen] == [SIZE] * 3
    assert set(np.concatenate(seen)) == set(rows)
    np.testing.assert_array_equal(np.concatenate(seen)[21:], seen[0][:3])


@pytest.mark.parametrize("validation", [None, 3, 19])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_a_fixed_batch_size_is_trained_and_measured(name: str, validation: int | None) -> None:
    data = (X, Y) if validation is None else ((X, Y), (X[:validation], Y[:validation]))
    result = prune(MODELS[name](), {"ratio": 0.25}, data, training={"fine_tuning_epochs": 1}, is_timed=False)
    assert np.isfinite(result.report.after.metrics["val_mae"])
    assert np.all(np.isfinite(result.history["fine-tuning 1"]["val_loss"]))
    assert result.model.input_shape[0] == SIZE
    notes = " ".join(result.report.notes)
    assert "batches of 8" in notes
    assert "batch_size 64 was replaced by" in notes
    assert ("stateful layers" in notes) == ("stateful" in name)


@pytest.mark.parametrize("name", ["stateful LSTM", "two stateful GRUs"])
def test_a_measurement_depends_on_nothing_before_it(name: str) -> None:
    made = MODELS[name]()
    training, _ = in_fixed_batches(made, TrainingSpec())
    data = Data.of(((X, Y), (X[:40], Y[:40]))).fit_to(made)
    compiling = Compiling(made, training, data)
    recovery = Recovery(training, compiling, compiling.fit_targets(data))
    measured = recovery.evaluate(made)
    assert recovery.evaluate(made) == measured
    for layer in stateful_layers(made):
        layer.reset_state()
    expected = made.evaluate(X[:40], Y[:40], batch_size=SIZE, verbose=0, return_dict=True)
    assert measured == pytest.approx({f"val_{name}": value for name, value in expected.items()}, rel=1e-5)


def test_samples_of_a_model_with_states_stay_in_their_order() -> None:
    made = {name: make() for name, make in MODELS.items()}
    training = TrainingSpec(batch_size=SIZE)
    data = Data.of(((X, Y), (X, Y))).fit_to(made["convolutions"])
    recovery = Recovery(training, Compiling(made["convolutions"], training, data), data)
    first = {name: recovery.training_batches(each, 0)[0][0] for name, each in made.items()}
    np.testing.assert_array_equal(first["stateful LSTM"], X[:SIZE])
    assert not np.array_equal(first["convolutions"], X[:SIZE])


@pytest.mark.parametrize(
    ("name", "criterion"),
    [
        ("convolutions", "taylor"), ("convolutions", "apoz"), ("convolutions", "oracle_racing"),
        ("convolutions", "reconstruction"), ("stateful LSTM", "oracle"), ("two stateful GRUs", "oracle"),
    ],
)  # fmt: skip
def test_criteria_look_at_samples(name: str, criterion: str) -> None:
    spec = {"ratio": 0.25, "criterion": criterion, "calibration_samples": 20}
    assert prune(MODELS[name](), spec, (X, Y), training={"fine_tuning_epochs": 0}, is_timed=False).plan.layers


@pytest.mark.parametrize(("name", "criterion"), [("convolutions", "auto"), ("stateful LSTM", "l1_norm")])
def test_samples_without_targets_repair(name: str, criterion: str) -> None:
    result = prune(MODELS[name](), {"ratio": 0.25, "criterion": criterion}, X, is_timed=False)
    assert any(step.repair for step in result.report.steps)


def test_layers_begin_anew_while_they_are_looked_at() -> None:
    made = MODELS["stateful LSTM"]()
    kept = stateful_layers(made)
    made(X[:SIZE])
    before = [np.array(state) for state in kept[0].states]
    with without_states(kept):
        kept[0](X[:3])
    assert all(np.array_equal(one, np.array(other)) for one, other in zip(before, kept[0].states, strict=True))
    assert kept[0].stateful


def test_a_model_of_any_batch_size_is_trained_as_asked() -> None:
    made = keras.Sequential([keras.Input((6, 4)), layers.Flatten(), layers.Dense(1)])
    training = TrainingSpec(batch_size=5)
    assert in_fixed_batches(made, training) == (training, ())
