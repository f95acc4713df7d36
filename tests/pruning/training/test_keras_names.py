"""Keras objects by name: taken as classes and functions, refused by field."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from pruning.errors import SpecError
from pruning.spec import TrainingSpec
from pruning.training.keras_names import built, loss_name, wanted_loss, wanted_metrics, wanted_optimizer

WANTED = {"loss": wanted_loss, "metrics": wanted_metrics, "optimizer": wanted_optimizer}


@pytest.mark.parametrize("field", WANTED)
def test_unknown_names_are_refused_by_field(field: str) -> None:
    training = TrainingSpec.model_validate({field: ["nonsense"] if field == "metrics" else "nonsense"})
    with pytest.raises(SpecError, match="nonsense") as caught:
        WANTED[field](training)
    assert caught.value.field == f"training.{field}"


def test_unknown_options_are_refused() -> None:
    training = TrainingSpec.model_validate({"optimizer": {"name": "sgd", "options": {"wheels": 4}}})
    with pytest.raises(SpecError, match=r"wheels|Keras"):
        built(wanted_optimizer(training), "training.optimizer")


@pytest.mark.parametrize(
    "loss",
    [
        "MeanSquaredError",
        "mse",
        keras.losses.MeanSquaredError(),
        keras.losses.mean_squared_error,
        {"class_name": "MeanSquaredError", "config": {}},
    ],
    ids=["class", "short name", "object", "function", "as saved"],
)
def test_a_loss_has_one_name_however_it_is_given(loss: Any) -> None:
    assert loss_name(loss) == "mean_squared_error"
