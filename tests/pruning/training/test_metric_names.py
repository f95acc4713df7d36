"""Metrics have one name each, however often a model is compiled for a job."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pruning import prune
from pruning.datasets.data import Data
from pruning.recovery.fitting import Recovery
from pruning.spec import TrainingSpec
from pruning.training.compiling import Compiling

LABELS = np.arange(24) % 2
INPUTS = np.random.default_rng(0).normal(size=(24, 3)).astype("float32") + LABELS[:, None]


def made(units: int = 1, **compiled: Any) -> keras.Model:
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    activation = "sigmoid" if units == 1 else "softmax"
    model = keras.Model(inputs, keras.layers.Dense(units, activation=activation, name="out")(hidden))
    if compiled:
        model.compile("sgd", **compiled)
    return model


def figures(model: keras.Model, **training: Any) -> list[list[str]]:
    """Names of what is measured, three times with a model of its own each."""
    training = {"loss": "binary_crossentropy", **training}
    spec = TrainingSpec.model_validate(training)
    data = Data.of(((INPUTS, LABELS), (INPUTS, LABELS))).fit_to(model)
    compiling = Compiling(model, spec, data)
    recovery = Recovery(spec, compiling, compiling.fit_targets(data))
    return [sorted(recovery.evaluate(made(model.output_shape[-1]))) for _ in range(3)]


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        (["Precision", "Recall"], ["val_loss", "val_precision", "val_recall"]),
        (["precision"], ["val_loss", "val_precision"]),
        ([{"name": "AUC", "options": {"curve": "PR"}}], ["val_auc", "val_loss"]),
        ([{"name": "AUC", "options": {"name": "area"}}], ["val_area", "val_loss"]),
        (["AUC", {"name": "AUC", "options": {"curve": "PR"}}], ["val_auc", "val_auc_1", "val_loss"]),
        ({"out": ["TruePositives", "BinaryIoU"]}, ["val_binary_io_u", "val_loss", "val_true_positives"]),
        (["LogCoshError"], ["val_logcosh", "val_loss"]),
    ],
)
def test_a_metric_given_by_its_class_has_one_name(metrics: Any, names: list[str]) -> None:
    assert figures(made(), metrics=metrics) == [names] * 3


def test_a_metric_that_a_model_was_compiled_with_as_a_class_has_one_name() -> None:
    model = made(loss="binary_crossentropy", metrics=[keras.metrics.AUC, keras.metrics.Precision])
    assert figures(model, loss=None) == [["val_auc", "val_loss", "val_precision"]] * 3


@pytest.mark.parametrize("metric", ["mean_io_u", "MeanIoU", "val_mean_io_u", None])
def test_a_metric_is_watched_by_its_name_or_its_class(metric: str | None) -> None:
    training = {
        "loss": "sparse_categorical_crossentropy",
        "metrics": [{"name": "MeanIoU", "options": {"num_classes": 2, "sparse_y_pred": False}}],
        "fine_tuning_epochs": 1,
    }
    spec = {"ratio": 0.25, "max_metric_drop": 1.0, "metric": metric}
    result = prune(made(2), spec, (INPUTS, LABELS), training=training, is_timed=False)
    assert result.goal_met
    assert {tuple(sorted(step.metrics)) for step in result.report.steps} == {("val_loss", "val_mean_io_u")}
    assert "mean_io_u" in result.model.evaluate(INPUTS, LABELS, verbose=0, return_dict=True)
