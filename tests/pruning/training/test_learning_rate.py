"""The learning rate of an optimizer: read and given."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pruning import apply_plan, make_plan, prune
from pruning.errors import ModelError, SpecError
from pruning.training.learning_rate import rate_of, with_rate


def test_a_schedule_is_read_by_its_peak_and_replaced_by_a_number() -> None:
    decay = keras.optimizers.schedules.CosineDecay(0.0, 100, warmup_target=0.5, warmup_steps=10)
    optimizer = keras.optimizers.SGD(decay, momentum=0.75)
    assert rate_of(optimizer) == 0.5
    changed = with_rate(optimizer, 0.25)
    assert (float(changed.learning_rate), changed.momentum) == (0.25, 0.75)


def test_several_optimizers_in_one_have_no_rate_to_follow() -> None:
    inner = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1))
    with pytest.raises(SpecError, match="combined optimizer"):
        with_rate(keras.optimizers.MultiOptimizer(inner), 0.1)


class Triangle(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of one's own, with a peak of 0.75 at step 1234."""

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        return 0.75 * keras.ops.maximum(0.0, 1 - keras.ops.abs(step - 1234) / 1234)


class SavedTriangle(Triangle):
    def get_config(self) -> dict[str, Any]:
        return {}


SCHEDULES = keras.optimizers.schedules


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (SCHEDULES.PiecewiseConstantDecay([10], [0.5, 0.25]), 0.5),
        (SCHEDULES.PiecewiseConstantDecay([1000, 250_000], [0.125, 0.5, 0.25]), 0.5),
        (SCHEDULES.CosineDecay(0.0, 10_000, warmup_target=0.5, warmup_steps=3333), 0.5),
        (SCHEDULES.PolynomialDecay(0.25, 100), 0.25),
        (Triangle(), 0.75),
        (lambda: 0.125, 0.125),
        (0.0625, 0.0625),
    ],
    ids=["falling steps", "rising steps", "long warm-up", "polynomial", "own", "function", "number"],
)
@pytest.mark.parametrize("is_scaled", [False, True])
def test_a_schedule_of_whichever_class_has_a_peak(rate: Any, expected: float, is_scaled: bool) -> None:
    optimizer = keras.optimizers.SGD(rate, momentum=0.75)
    changed = with_rate(keras.optimizers.LossScaleOptimizer(optimizer) if is_scaled else optimizer, 0.25)
    assert rate_of(optimizer) == pytest.approx(expected)
    inner = changed.inner_optimizer if is_scaled else changed
    assert (float(inner.learning_rate), inner.momentum) == (0.25, 0.75)


@pytest.mark.parametrize("rate", [0.0, float("nan")])
def test_a_schedule_without_a_rate_is_refused(rate: float) -> None:
    schedule = SCHEDULES.PiecewiseConstantDecay([10], [rate, rate])
    with pytest.raises(SpecError, match="no usable rate") as caught:
        rate_of(keras.optimizers.SGD(schedule))
    assert caught.value.field == "training.learning_rate"


def compiled_with(rate: Any) -> tuple[keras.Model, tuple[np.ndarray, np.ndarray]]:
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    return model, (np.random.default_rng(0).normal(size=(48, 4)).astype("float32"), np.arange(48) % 2)


@pytest.mark.parametrize("rate", [SCHEDULES.PiecewiseConstantDecay([10], [0.5, 0.25]), SavedTriangle()])
def test_a_compiled_models_schedule_is_told_of_and_delivered(rate: Any) -> None:
    model, data = compiled_with(rate)
    result = prune(model, {"ratio": 0.25}, data, training={"fine_tuning_epochs": 1}, is_timed=False)
    [note] = [note for note in result.report.notes if "learning rate" in note]
    assert type(rate).__name__ in note
    assert f"{rate_of(model.optimizer):.6g}" in note
    assert result.model.optimizer._learning_rate is rate


@pytest.mark.parametrize("has_data", [True, False])
def test_a_schedule_without_a_config_is_refused_by_its_name(has_data: bool) -> None:
    model, data = compiled_with(Triangle())
    with pytest.raises(ModelError, match="'Triangle' cannot be made anew") as caught:
        prune(model, {"ratio": 0.25}, data if has_data else None)
    assert "get_config" in str(caught.value)


def test_a_schedule_without_a_config_is_in_nobodys_way_where_another_optimizer_is_asked_for() -> None:
    model, data = compiled_with(Triangle())
    training = {"optimizer": "adam", "fine_tuning_epochs": 1}
    result = prune(model, {"ratio": 0.25}, data, training=training, is_timed=False)
    assert isinstance(result.model.optimizer, keras.optimizers.Adam)
    assert (
        apply_plan(model, make_plan(model, {"ratio": 0.25})).optimizer._learning_rate is model.optimizer._learning_rate
    )
