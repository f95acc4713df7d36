"""What a model is trained with: wishes, compile settings, and what can be inferred."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pruning.datasets.data import Data
from pruning.errors import DataError, SpecError
from pruning.spec import TrainingSpec
from pruning.training.compiling import Compiling


def model(activation: str | None = "softmax", units: int = 4, **compiled: Any) -> keras.Model:
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, activation=activation, name="out")])
    if compiled:
        made.compile(**compiled)
    return made


def compiling(made: keras.Model, labels: Any = (0, 3), **training: Any) -> tuple[Compiling, Data]:
    data = Data.of((np.ones((2, 3)), np.array(labels))).fit_to(made)
    return Compiling(made, TrainingSpec.model_validate(training), data), data


def test_compile_settings_are_the_default() -> None:
    made = model(
        optimizer=keras.optimizers.SGD(0.25, momentum=0.9), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    settings, _ = compiling(made)
    other = model()
    settings.compile(other)
    assert settings.learning_rate == pytest.approx(0.25)
    assert other.optimizer.momentum == 0.9
    assert other.loss == "sparse_categorical_crossentropy"


def test_wishes_go_before_compile_settings() -> None:
    made = model(optimizer="sgd", loss="sparse_categorical_crossentropy")
    settings, _ = compiling(
        made, optimizer={"name": "adamw", "options": {"weight_decay": 0.5}}, learning_rate=0.125,
        loss={"name": "SparseCategoricalCrossentropy", "options": {"ignore_class": 2}},
        metrics=["SparseTopKCategoricalAccuracy"],
    )  # fmt: skip
    settings.compile(made)
    assert isinstance(made.optimizer, keras.optimizers.AdamW)
    assert made.optimizer.weight_decay == 0.5
    assert float(made.optimizer.learning_rate) == 0.125
    assert made.loss.ignore_class == 2


def test_integer_labels_need_no_loss() -> None:
    settings, _ = compiling(model())
    assert "sparse_categorical_crossentropy" in settings.notes[0]


def test_logits_are_told_from_probabilities() -> None:
    made = model(activation=None)
    settings, _ = compiling(made)
    settings.compile(made)
    assert made.loss.from_logits


@pytest.mark.parametrize("compiled", [{}, {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"}])
def test_training_without_targets_is_refused(compiled: dict[str, Any]) -> None:
    made = model(**compiled)
    data = Data.of(np.ones((2, 3))).fit_to(made)
    with pytest.raises(DataError, match="needs targets"):
        Compiling(made, TrainingSpec(), data).fit_targets(data)


def test_float_targets_need_a_loss() -> None:
    with pytest.raises(SpecError, match="no loss") as caught:
        compiling(model(), labels=(0.5, 0.25))
    assert caught.value.field == "training.loss"


def test_labels_are_encoded_where_the_loss_wants_it() -> None:
    settings, data = compiling(model(), loss="categorical_crossentropy")
    np.testing.assert_array_equal(settings.fit_targets(data).y_train["out"], np.eye(4)[[0, 3]])
    assert "one-hot" in settings.notes[0]


def test_a_schedule_gives_the_peak_and_comes_back_for_delivery() -> None:
    decay = keras.optimizers.schedules.CosineDecay(0.0, 100, warmup_target=0.5, warmup_steps=10)
    made = model(optimizer=keras.optimizers.SGD(decay), loss="sparse_categorical_crossentropy")
    settings, _ = compiling(made)
    settings.compile(made)
    made.optimizer.learning_rate = 0.125
    assert settings.learning_rate == 0.5
    settings.compile_for_delivery(made)
    assert isinstance(made.optimizer._learning_rate, keras.optimizers.schedules.CosineDecay)


def test_what_the_model_came_with_is_delivered_whatever_this_job_trained_with() -> None:
    made = model(optimizer=keras.optimizers.SGD(0.25), loss="sparse_categorical_crossentropy", run_eagerly=True)
    settings, _ = compiling(made, learning_rate=0.125)
    settings.compile(made)
    assert float(made.optimizer.learning_rate) == 0.125
    assert not made.run_eagerly
    settings.compile_for_delivery(made)
    assert float(made.optimizer.learning_rate) == 0.25
    assert made.run_eagerly


def test_numbers_that_are_no_two_classes_ask_for_a_loss() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    x = np.zeros((6, 4), "float32")
    assert "binary_crossentropy" in str(Compiling(model, TrainingSpec(), Data.of((x, np.arange(6) % 2))).notes)
    with pytest.raises(SpecError, match="There is no loss"):
        Compiling(model, TrainingSpec(), Data.of((x, np.arange(6) % 3)))
