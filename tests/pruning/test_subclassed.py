"""Subclassed models: written down as functional ones where that is exact, refused with the reason elsewhere."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from pruning import PruningSpec, apply_plan, as_functional, make_plan, prune, verify
from pruning.errors import ModelError
from tests.strategies import randomise

HALF = PruningSpec(criterion="l1_norm", ratio=0.5)


class Residual(keras.Model):
    """Convolutions with a shortcut, dropout in training, and a head."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stem = layers.Conv2D(8, 3, padding="same", name="stem")
        self.normal = layers.BatchNormalization()
        self.inner = layers.Conv2D(8, 3, padding="same", name="inner")
        self.dropout = layers.Dropout(0.5)
        self.head = layers.Dense(3, name="head")

    def call(self, inputs, training=False):  # type: ignore[no-untyped-def]
        hidden = ops.relu(self.normal(self.stem(inputs), training=training))
        hidden = hidden + self.inner(hidden)
        return self.head(self.dropout(ops.mean(hidden, axis=(1, 2)), training=training))


def built(model: Any, shape: tuple[int, ...] = (8, 8, 3)) -> Any:
    model(np.zeros((2, *shape), "float32"))
    randomise(model, seed=14)
    return model


def test_a_subclassed_model_is_written_down_and_pruned() -> None:
    model = built(Residual(name="residual"))
    data = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")
    before = ops.convert_to_numpy(model(data))
    functional = as_functional(model)
    np.testing.assert_allclose(ops.convert_to_numpy(functional(data)), before, rtol=1e-5)
    plan = make_plan(functional, HALF)
    assert [group.layers for group in plan.groups] == [("stem", "inner")]
    small = apply_plan(functional, plan)
    assert verify(functional, small, plan).passed
    assert small.name == "residual"
    np.testing.assert_array_equal(ops.convert_to_numpy(model(data)), before)


def test_training_goes_on_in_the_functional_model() -> None:
    model = built(Residual())
    model.compile("sgd", "mse")
    functional = as_functional(model)
    assert functional.loss == "mse"
    data = np.ones((2, 8, 8, 3), "float32")
    with keras.StatelessScope():
        dropped = ops.convert_to_numpy(functional(data, training=True))
    assert not np.allclose(dropped, ops.convert_to_numpy(functional(data)))


def test_prune_takes_a_subclassed_model() -> None:
    result = prune(built(Residual()), HALF)
    assert any("functional" in note for note in result.report.notes)
    assert result.plan.num_channels_after < result.plan.num_channels_before


def test_functional_models_come_back_as_they_are() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    assert as_functional(model) is model


def test_inputs_of_another_type_are_given() -> None:
    class Words(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = layers.Embedding(5, 6), layers.Dense(2)

        def call(self, inputs):  # type: ignore[no-untyped-def]
            return self.head(self.table(inputs["words"]))

    model = Words()
    functional = as_functional(model, {"words": keras.Input((4,), dtype="int32", name="words")})
    assert functional.inputs[0].dtype == "int32"
    plan = make_plan(functional, HALF)
    assert verify(functional, apply_plan(functional, plan), plan).passed


def _refused(call: Any) -> keras.Model:
    class Refused(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dense(4), layers.Dense(4)
            self.offset = self.add_weight(shape=(4,), name="offset") if call is _own_weight else None

        def call(self, inputs, training=False):  # type: ignore[no-untyped-def]
            return call(self, inputs, training)

    return Refused()


def _own_weight(model: Any, inputs: Any, training: Any) -> Any:
    return model.second(model.first(inputs)) + model.offset


def _by_training(model: Any, inputs: Any, training: Any) -> Any:
    return model.second(inputs) if training else model.second(model.first(inputs))


def _by_value(model: Any, inputs: Any, training: Any) -> Any:
    return model.second(inputs) if ops.mean(inputs) > 0 else model.second(model.first(inputs))


def _by_type(model: Any, inputs: Any, training: Any) -> Any:
    factor = 1.0 if isinstance(inputs, keras.KerasTensor) else 2.0
    return model.second(model.first(inputs)) * factor


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (_own_weight, "weights that none of the layers"),
        (_by_training, "other layers in training"),
        (_by_value, "does not run on symbolic inputs"),
        (_by_type, "gives other outputs"),
    ],
)
def test_what_is_not_the_same_is_refused(call: Any, reason: str) -> None:
    model = built(_refused(call), (4,))
    with pytest.raises(ModelError, match=reason):
        as_functional(model, keras.Input((4,)))


def test_an_unbuilt_model_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelError, match="Call it once on data"):
        as_functional(Residual())
