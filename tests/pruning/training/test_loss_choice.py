"""Models without a loss, or with one for some outputs: trained as they are meant, or refused with the true reason."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from pruning import prune
from pruning.datasets.data import Data
from pruning.errors import DataError, SpecError
from pruning.spec import TrainingSpec
from pruning.training.unneeded_targets import own_losses, with_unneeded_targets
from tests.pruning.models import same, values

X = np.random.default_rng(0).normal(size=(48, 8)).astype("float32")
LABELS = np.arange(48) % 3
ONCE = {"fine_tuning_epochs": 1}


@keras.saving.register_keras_serializable("tests")
class Penalty(layers.Layer):
    """Adds a loss, or only where it trains."""

    def __init__(self, always: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.always = always

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "always": self.always}

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training or self.always:
            self.add_loss(ops.mean(ops.square(inputs - 1)))
        return inputs


@keras.saving.register_keras_serializable("tests")
class Endpoint(layers.Layer):
    """Adds the distance of a prediction and a target that is an input."""

    def call(self, inputs: Any) -> Any:
        prediction, target = inputs
        self.add_loss(ops.mean(ops.square(prediction - target)))
        return prediction


def penalised(always: bool = True, **compiled: Any) -> keras.Model:
    inputs = keras.Input((8,))
    hidden = layers.Dense(4)(layers.Dropout(0.5)(layers.Dense(16, activation="relu")(inputs)))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(Penalty(always, name="own")(hidden)))
    if compiled:
        model.compile("adam", **compiled)
    return model


def endpoint() -> keras.Model:
    x, target = keras.Input((8,), name="x"), keras.Input((8,), name="target")
    model = keras.Model([x, target], Endpoint()([layers.Dense(8)(layers.Dense(16, activation="relu")(x)), target]))
    model.compile("adam")
    return model


def two_heads(loss: Any, **compiled: Any) -> keras.Model:
    inputs = keras.Input((8,))
    hidden = layers.Dense(16, activation="relu")(inputs)
    heads = [layers.Dense(3, activation="softmax", name="kind")(hidden), layers.Dense(2, name="value")(hidden)]
    model = keras.Model(inputs, heads)
    model.compile("adam", loss, **compiled)
    return model


def pruned(model: keras.Model, data: Any, **training: Any) -> Any:
    return prune(model, {"ratio": 0.25}, data, training={**ONCE, **training}, is_timed=False)


def has_moved(result: Any) -> bool:
    """Whether there was a fine-tuning, and its loss is finite."""
    return bool(np.all(np.isfinite(result.history["fine-tuning 1"]["loss"])))


@pytest.mark.parametrize("with_targets", [True, False])
def test_layers_that_add_the_loss_are_trained_on_it_alone(with_targets: bool) -> None:
    both = {"x": X, "target": X}
    result = pruned(endpoint(), (both, X) if with_targets else {"x_train": both})
    assert has_moved(result)
    assert result.model.loss is None
    assert result.report.after.metrics["val_loss"] > 0
    assert [note for note in result.report.notes if "losses that layers add" in note]


def test_targets_of_another_kind_bring_no_second_loss() -> None:
    result = pruned(penalised(loss=None), (X, LABELS))
    assert has_moved(result)
    assert result.model.loss is None


def test_a_loss_that_is_asked_for_comes_besides_those_of_layers() -> None:
    assert pruned(penalised(loss=None), (X, LABELS), loss="sparse_categorical_crossentropy").model.loss is not None


def test_looking_for_own_losses_changes_nothing() -> None:
    model = penalised()
    before = values(model)
    assert own_losses(model, Data.of((X, LABELS))) == ["own"]
    assert same(before, values(model))


def regularized() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8,)), layers.Dense(16, kernel_regularizer="l2", activity_regularizer="l2"),
            layers.Dense(3, activation="softmax"),
        ]
    )  # fmt: skip


def test_regularizers_are_no_losses_of_their_own() -> None:
    assert own_losses(regularized(), Data.of((X, LABELS))) == []
    result = pruned(regularized(), (X, LABELS))
    assert [note for note in result.report.notes if "not compiled: using sparse_categorical_crossentropy" in note]


def compiled_alone() -> keras.Model:
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16), layers.Dense(8)])
    model.compile("adam")
    return model


@pytest.mark.parametrize(
    ("model", "data", "training", "said"),
    [
        (compiled_alone, (X, X), {}, "compiled without a loss and its layers add none"),
        (penalised, (X, LABELS), {}, "layers add losses. It is unclear"),
        (lambda: penalised(always=False, loss=None), (X, LABELS), {}, "only in training"),
        (lambda: penalised(loss=None), (X, LABELS), {"class_weights": "balanced"}, None),
    ],
    ids=["no loss at all", "two meanings", "only in training", "weights of classes"],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(
    model: Any, data: Any, training: dict[str, Any], said: str | None
) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        pruned(model(), data, **training)
    assert caught.value.field in ("training.loss", "training.class_weights")


def test_a_criterion_that_looks_at_the_loss_of_samples_is_refused() -> None:
    with pytest.raises(SpecError, match="a loss for each sample is needed"):
        prune(penalised(loss=None), {"ratio": 0.25, "criterion": "taylor"}, (X, LABELS))


Y = {"kind": LABELS, "value": X[:, :2]}
LOSS = "sparse_categorical_crossentropy"


@pytest.mark.parametrize("loss", [{"kind": LOSS, "value": None}, [LOSS, None], {"kind": LOSS}], ids=str)
@pytest.mark.parametrize(
    "targets",
    [Y, {"kind": LABELS}, LABELS],
    ids=["all targets", "those that a loss needs", "one without a name"],
)
def test_an_output_without_a_loss_needs_no_targets(loss: Any, targets: Any) -> None:
    result = pruned(two_heads(loss), {"x_train": X, "y_train": targets})
    assert has_moved(result)
    assert set(result.report.after.metrics) == {"val_loss"} or "val_kind_loss" in result.report.after.metrics


def test_losses_that_are_asked_for_by_output_may_leave_some_out() -> None:
    model = two_heads({"kind": LOSS, "value": "mse"})
    assert has_moved(pruned(model, {"x_train": X, "y_train": {"value": Y["value"]}}, loss={"value": "mse"}))


@pytest.mark.parametrize("compiled", [{"loss": {"kind": LOSS, "value": "mse"}}, {
    "loss": {"kind": LOSS, "value": None}, "metrics": {"value": ["mae"]},
}], ids=["loss", "metric"])  # fmt: skip
def test_targets_that_are_needed_are_asked_for(compiled: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="do not match the model") as caught:
        pruned(two_heads(**compiled), {"x_train": X, "y_train": {"kind": LABELS}})
    assert "y_train.value" in str(caught.value)


def test_data_that_nothing_has_to_be_added_to_stays() -> None:
    data = Data.of((X, LABELS))
    assert with_unneeded_targets(data, penalised(loss=None), TrainingSpec()) is data
