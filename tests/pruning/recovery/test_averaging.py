"""Averages of the weights are those that one would compute by hand, and those that are measured and delivered."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec, load_model, prune
from pruning.datasets.data import Data
from pruning.recovery.averaging import Averages
from pruning.recovery.fitting import Recovery
from pruning.recovery.objective import Objective
from pruning.recovery.phase import TrainingPhase
from pruning.surgery.rebuild import copy_model
from pruning.training.compiling import Compiling
from pruning.training.freezing import frozen
from tests.pruning.models import blobs, half, residual, same, values


class _Weights(keras.callbacks.Callback):
    """All variables after each step, and after each validation."""

    def __init__(self) -> None:
        super().__init__()
        self.after_steps: list[list[np.ndarray]] = []
        self.measured: list[list[np.ndarray]] = []

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        self.after_steps.append(values(self.model))

    def on_test_batch_begin(self, batch: int, logs: object = None) -> None:
        self.measured.append(values(self.model))


def by_hand(model: keras.Model, steps: list[list[np.ndarray]], momentum: float) -> list[np.ndarray]:
    """Return the averages of variables whose values after each step are given."""
    averages = []
    for index, variable in enumerate(model.variables):
        average = values(model)[index].astype("float64")
        for step, each in enumerate(steps):
            count = step + bool(variable.trainable)
            share = min(momentum, (1 + count) / (10 + count))
            average = share * average + (1 - share) * each[index]
        averages.append(average)
    return averages


def small(**training: object) -> tuple[keras.Model, Recovery]:
    model = residual(compiled=True)
    spec = TrainingSpec.model_validate({"batch_size": 16, "learning_rate": 0.05, **training})
    data = Data.of((blobs(64), blobs(32, seed=1))).fit_to(model)
    return model, Recovery(spec, Compiling(model, spec, data), data)


@pytest.mark.parametrize("momentum", [0.15, 0.999])
def test_averages_are_those_by_hand(momentum: float) -> None:
    model = residual(compiled=True)
    start, watch = copy_model(model), _Weights()
    objective = Objective(model, averages=Averages(model, momentum))
    objective.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    objective.fit(*blobs(64), batch_size=16, epochs=2, verbose=0, callbacks=[watch], validation_data=blobs(16))
    assert len(watch.after_steps) == 8
    for expected, last, found in zip(
        by_hand(start, watch.after_steps, momentum), watch.after_steps[-1], values(model), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert not np.allclose(found, last, rtol=1e-4, atol=1e-5) or np.allclose(expected, last, rtol=1e-4, atol=1e-5)
    for expected, found in zip(by_hand(start, watch.after_steps[:4], momentum), watch.measured[0], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_training_goes_on_from_the_last_weights() -> None:
    plain, averaged = _Weights(), _Weights()
    for watch, ema in ((plain, None), (averaged, 0.99)):
        model = residual(compiled=True)
        objective = Objective(model, averages=None if ema is None else Averages(model, ema))
        objective.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
        data = {"validation_data": blobs(16), "callbacks": [watch], "shuffle": False}
        objective.fit(*blobs(64), batch_size=16, epochs=2, verbose=0, **data)
    assert same(plain.after_steps[-1], averaged.after_steps[-1])


def test_an_average_goes_on_from_its_state() -> None:
    model, other = residual(), residual()
    first, second = Averages(model, 0.9), Averages(other, 0.9)
    generator = np.random.default_rng(0)
    for step in range(6):
        for variable, twin in zip(model.variables, other.variables, strict=True):
            value = generator.normal(size=variable.shape)
            variable.assign(value)
            twin.assign(value)
        if step == 3:
            state, second = second.state(), Averages(other, 0.9)
            second.restore(state)
        first.update()
        second.update()
    assert same(first.state(), second.state())
    assert same(first.values(), second.values())


def test_frozen_layers_stay_as_they_are_bit_for_bit() -> None:
    model, recovery = small(ema=0.9)
    before = {layer.name: [np.array(each) for each in layer.get_weights()] for layer in model.layers}
    with frozen(model, ["stem.*"]):
        recovery.train(model, TrainingPhase("training", 2, 0), lambda epoch, share, logs: None)
    for name in ("stem", "stem_bn"):
        assert same(before[name], model.get_layer(name).get_weights())
    assert not same(before["head"], model.get_layer("head").get_weights())


def test_the_history_tells_of_what_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recovery, "settle", lambda self, model: False)
    model, recovery = small(ema=0.9)
    history = recovery.train(model, TrainingPhase("training", 2, 0), lambda epoch, share, logs: None).history
    assert recovery.evaluate(model)["val_loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)


@pytest.mark.parametrize("is_mixed", [False, True])
def test_a_plain_model_is_delivered(tmp_path: object, is_mixed: bool) -> None:
    training = {"ema": 0.99, "mixed_precision": is_mixed, "batch_size": 16}
    result = prune(residual(compiled=True), PruningSpec(ratio=0.5), blobs(), training=training)
    assert type(result.model) is keras.Model or type(result.model).__module__.startswith("keras.")
    result.model.save(f"{tmp_path}/small.keras")
    loaded = load_model(f"{tmp_path}/small.keras")
    images = blobs(8)[0]
    np.testing.assert_allclose(loaded.predict(images, verbose=0), result.model.predict(images, verbose=0), rtol=1e-5)


def test_half_precision_is_averaged_in_full() -> None:
    model = half()
    averages = Averages(model, 0.999)
    assert {str(each.dtype) for each in averages.state()[1:]} == {"float32"}
    averages.update()
    averages.swap(averages.values())
    assert {each.dtype for each in model.variables} == {"bfloat16"}


def test_integers_are_not_averaged() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dropout(0.5, seed=1)(inputs)))
    assert len(Averages(model, 0.9).variables) == 1 + 2
