"""Targets that no loss and no metric needs, which may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from pruning.datasets.data import Data, Targets
from pruning.datasets.rows import taken
from pruning.keras_model.compiled import fresh_compile_arguments
from pruning.keras_model.graph import outputs_by_name, require_graph
from pruning.keras_model.own_losses import layers_with_losses
from pruning.spec import TrainingSpec


def own_losses(model: keras.Model, data: Data, *, training: bool = True) -> list[str]:
    """Return the names of the layers that add a loss of their own, in training or where the model is measured.

    Args:
        model: It is run with some samples.
        data: Data whose inputs fit the model.
    """
    inputs = replace(data, y_train={}, y_val={}, y_test={}, sample_weight_train={}).fit_to(model).x_train
    num_rows = require_graph(model).inputs[0].shape[0] or 2
    rows = taken(inputs, np.arange(num_rows) % data.num_train)
    return layers_with_losses(model, list(rows.values()), training=training)


def with_unneeded_targets(data: Data, model: keras.Model, training: TrainingSpec) -> Data:
    """Return data with zeros for the targets that are left out because neither a loss nor a metric needs them.

    Args:
        data: Data as it came.
        model: What it was compiled with is the default for loss and metrics.
        training: The caller's wishes.
    """
    outputs = list(outputs_by_name(model))
    given = set(data.y_train) | set(data.y_val) | set(data.y_test)
    if given >= set(outputs) or (given and len(outputs) == 1) or any(name.startswith("#") for name in given):
        return data
    needed = _needed(data, model, training)
    by_output = {"": next(iter(needed))} if given == {""} and needed is not None and len(needed) == 1 else {}
    if needed is None or not needed <= {by_output.get(name, name) for name in given}:
        return data

    def filled(targets: Targets, num_samples: int) -> Targets:
        named = {by_output.get(name, name): array for name, array in targets.items()}
        zeros = {name: np.zeros((num_samples, 1), np.float32) for name in outputs if name not in needed | set(named)}
        return named | zeros if num_samples else {}

    return replace(
        data,
        y_train=filled(data.y_train, data.num_train),
        y_val=filled(data.y_val, data.num_val),
        y_test=filled(data.y_test, data.num_test),
    )


def _needed(data: Data, model: keras.Model, training: TrainingSpec) -> set[str] | None:
    """Return the outputs whose targets a loss or a metric needs; `None` where the targets are to tell the loss."""
    outputs = list(outputs_by_name(model))
    compiled = fresh_compile_arguments(model) if model.compiled else {}
    loss = compiled.get("loss") if training.loss is None else training.loss
    if loss is None and not (model.compiled and own_losses(model, data)):
        return None
    metrics = compiled.get("metrics") if training.metrics is None else training.metrics
    needed = _measured(loss, outputs) | _measured(metrics, outputs)
    return needed | _measured(compiled.get("weighted_metrics"), outputs)


def _measured(values: Any, outputs: list[str]) -> set[str]:
    """Return the outputs for which there is one of the losses or metrics, in any form that Keras takes."""
    if isinstance(values, Mapping):
        return {name for name, value in values.items() if value}
    if isinstance(values, list | tuple):
        if not values:
            return set()
        is_by_output = len(values) == len(outputs) > 1
        return {name for name, value in zip(outputs, values, strict=True) if value} if is_by_output else set(outputs)
    return set() if values is None else set(outputs)
