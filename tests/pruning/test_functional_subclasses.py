"""Functional models of the user's own classes: attributes and training steps go with them, or are refused."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
import pytest
from keras import layers

from pruning import prune
from pruning.errors import SpecError
from pruning.surgery.rebuild import copy_model

X = np.random.default_rng(0).normal(size=(48, 8)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
SPEC = {"ratio": 0.5, "criterion": "l1_norm"}
TRAINING = {"fine_tuning_epochs": 1, "batch_size": 16}


def graph() -> tuple[Any, Any]:
    inputs = keras.Input((8,))
    hidden = layers.Dense(16, activation="relu", name="hidden")(inputs)
    return inputs, layers.Dense(2, activation="softmax", name="head")(hidden)


class Weighted(keras.Model):
    """A hyperparameter of a training step of its own."""

    seen: ClassVar[list[float]] = []

    def __init__(self, inputs: Any, outputs: Any, alpha: float = 0.5, **options: Any) -> None:
        super().__init__(inputs, outputs, **options)
        self.alpha, self._beta = alpha, [alpha]

    def train_step(self, data: Any) -> Any:
        Weighted.seen.append(self.alpha + self._beta[0])
        return super().train_step(data)


class Student(keras.Model):
    """A teacher, and a layer of the graph by an attribute."""

    def __init__(self, inputs: Any, outputs: Any, teacher: keras.Model) -> None:
        super().__init__(inputs, outputs)
        self.teacher = teacher
        self.first = self.get_layer("hidden")


@keras.saving.register_keras_serializable("tests")
class Backbone(keras.Model):
    """Makes its layers by itself, as those of keras-hub do."""

    def __init__(self, units: int = 16, **options: Any) -> None:
        inputs = keras.Input((8,))
        hidden = layers.Dense(units, activation="relu", name="hidden")(inputs)
        super().__init__(inputs=inputs, outputs=layers.Dense(2, activation="softmax")(hidden), **options)
        self.units = units

    def get_config(self) -> dict[str, Any]:
        return {"units": self.units, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Backbone:
        return cls(**config)


class Trained(Backbone):
    """The same with a loss of its own."""

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        return 2 * super().compute_loss(*arguments, **options)


def compiled(model: keras.Model) -> keras.Model:
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("alpha", [0.9, 0.1])
def test_a_hyperparameter_goes_with_the_training_step(alpha: float) -> None:
    Weighted.seen.clear()
    model = compiled(Weighted(*graph(), alpha=alpha))
    result = prune(model, SPEC, (X, Y), training=TRAINING)
    assert set(Weighted.seen) == {2 * alpha}
    assert isinstance(result.model, Weighted)
    assert (result.model.alpha, result.model._beta) == (alpha, [alpha])


def test_attributes_set_later_and_by_training_are_told_apart() -> None:
    model = compiled(Weighted(*graph()))
    model.fit(X, Y, epochs=1, verbose=0)
    model.threshold = 3
    copy = copy_model(model)
    assert copy.threshold == 3
    assert copy.optimizer is not model.optimizer
    assert not hasattr(copy, "history")


def test_a_teacher_is_shared_and_a_layer_of_the_graph_becomes_its_copy() -> None:
    teacher = keras.Model(*graph())
    copy = copy_model(Student(*graph(), teacher))
    assert copy.teacher is teacher
    assert copy.first is copy.get_layer("hidden")


@pytest.mark.parametrize("nested", [False, True])
def test_a_class_with_a_config_of_its_own_becomes_a_plain_model(tmp_path: Any, nested: bool) -> None:
    model: keras.Model = Backbone(12)
    if nested:
        inputs = keras.Input((8,))
        model = keras.Model(inputs, layers.Dense(3)(model(inputs)))
    result = prune(model, SPEC)
    assert result.model.count_params() < model.count_params()
    assert not any(isinstance(layer, Backbone) for layer in (result.model, *result.model.layers))
    assert nested or any("Backbone is delivered as a plain functional model" in note for note in result.report.notes)
    result.model.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), result.model.predict(X, verbose=0), rtol=1e-5)


def test_its_own_loss_cannot_be_trained_with() -> None:
    with pytest.raises(SpecError, match="cannot have its training step"):
        prune(compiled(Trained()), SPEC, (X, Y), training=TRAINING)
    assert prune(compiled(Trained()), SPEC).model.count_params() < Trained().count_params()
