"""Compile settings of an HDF5 file, restored one by one: what is lost is told by its name, and the others stay.

Keras's own loader restores all or nothing, takes another optimizer of the same name where it does not know the class,
and takes no loss for one that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import keras

from pruning.keras_model.graph import outputs_by_name
from pruning.keras_model.lost_loss import tell_lost_loss

_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")
"""What Keras chooses by the shape of the targets, in `compile`."""
_KERAS_ERRORS = (AttributeError, ImportError, KeyError, NotImplementedError, TypeError, ValueError)


class _UnknownError(Exception):
    """Something that is not Keras's own; its name."""


def compile_as_saved(model: keras.Model, settings: dict[str, Any]) -> tuple[str, ...]:
    """Compile a model as its file says.

    Args:
        model: Not compiled. It stays so where its loss is not to be had; then `lost_loss` says why.
        settings: In the form of Keras 3.

    Returns:
        Lines for the report, one for each thing that is lost.
    """
    try:
        loss = _each(settings.get("loss"), lambda value: _known(value, keras.losses, keras.Loss))
    except _UnknownError as unknown:
        why = f"the file's loss {unknown} is custom, and its code is not in the file"
        tell_lost_loss(model, why)
        return (f"the model's compile settings could not be restored: {why}",)
    lost: list[str] = []

    def metric(value: Any) -> Any:
        try:
            return _known(value, keras.metrics, keras.Metric)
        except _UnknownError as unknown:
            lost.append(f"the file's custom metric {unknown} was dropped")
            return None

    num_outputs = len(outputs_by_name(model))
    metrics = {
        field: _without_lost(_each(settings.get(field), metric), num_outputs)
        for field in ("metrics", "weighted_metrics")
    }
    try:
        optimizer = _optimizer(settings.get("optimizer_config"))
    except _UnknownError as unknown:
        optimizer = keras.optimizers.Adam()
        lost.append(f"the file's custom optimizer {unknown} was replaced by adam")
    model.compile(optimizer, loss, loss_weights=settings.get("loss_weights"), **metrics)
    return tuple(lost)


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """Change each object of a setting: one, lists of them, or some by output."""
    if isinstance(value, list):
        return [_each(each, change) for each in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {name: _each(each, change) for name, each in value.items()}
    return None if value is None else change(value)


def _known(value: Any, module: Any, kind: type) -> Any:
    """Return the loss or metric that a file names or describes."""
    if isinstance(value, dict) and isinstance(value.get("config"), dict) and isinstance(value["config"].get("fn"), str):
        raise _UnknownError(_name(value))  # Keras would call the name; its own functions are repaired.
    if isinstance(value, str):
        if value in _BY_SHAPE:
            return value
        own = keras.saving.get_registered_object(value)
        if own is not None:
            return own
    try:
        found = module.get(deepcopy(value))
    except _KERAS_ERRORS as error:
        raise _UnknownError(_name(value)) from error
    if not (isinstance(found, kind) or (callable(found) and not isinstance(found, type))):
        raise _UnknownError(_name(value))
    return value if isinstance(value, str) else found  # Keras names what it measures as it is called here.


def _optimizer(value: Any) -> keras.Optimizer:
    try:
        optimizer: keras.Optimizer = keras.optimizers.get(deepcopy(value))
    except _KERAS_ERRORS as error:
        raise _UnknownError(_name(value)) from error
    return optimizer


def _name(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    config = value.get("config")
    function = config.get("fn") if isinstance(config, dict) else config
    return repr(function if isinstance(function, str) else value.get("class_name"))


def _without_lost(metrics: Any, num_outputs: int) -> Any:
    """Return metrics without those that are lost: a list, for several outputs one for each of them."""
    if isinstance(metrics, dict):
        return {name: _without_lost(each, 1) for name, each in metrics.items()}
    if not isinstance(metrics, list):
        return None if metrics is None else [metrics]
    if num_outputs > 1 and any(isinstance(each, list) for each in metrics):
        return [_without_lost(each, 1) or [] for each in metrics]
    return [each for each in keras.tree.flatten(metrics) if each is not None]
