"""What a model is compiled with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.losses.losses import LossFunctionWrapper

from pruning.keras_model.configs import config_of, from_config
from pruning.keras_model.graph import unpack_singleton
from pruning.keras_model.learning_rate import fresh_optimizer


def fresh_compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Return what a model was compiled with; what has a state is made anew, all else is the same object.

    Raises:
        ModelError: A metric or the optimizer cannot be made anew from its own config.
    """
    arguments = dict(model._compile_config.config)
    if isinstance(model.optimizer, keras.Optimizer):
        # Not the name or object that was given to `compile`: a learning rate set since, and the loss scale that
        # Keras adds, are the model's own optimizer's alone.
        arguments["optimizer"] = model.optimizer
    return fresh(arguments)


@contextmanager
def compiled_as(model: keras.Model, stand_in: keras.Model) -> Iterator[None]:
    """Let a model be saved for a while as if it were compiled as another one; nothing is traced again."""
    attributes = vars(model)  # What is set here Keras does not track.
    own = attributes["_compile_config"]
    attributes["_compile_config"] = stand_in._compile_config
    try:
        yield
    finally:
        attributes["_compile_config"] = own


def build_measures(model: keras.Model, targets: object) -> None:
    """Make the variables of a model's loss and metrics, where they are not made yet.

    Args:
        model: Compiled; one that has a graph.
        targets: Of a batch, in the structure in which they are trained on.
    """
    outputs = unpack_singleton(getattr(model, "_functional", model).output)
    for measure in (model._compile_loss, model._compile_metrics):
        if measure is not None and not measure.built:
            measure.build(targets, outputs)


def loss_object(loss: object) -> keras.Loss:
    """Return a loss as an object, whether it is given by name, as a function or as one."""
    loss = keras.losses.get(loss)
    return loss if isinstance(loss, keras.Loss) else LossFunctionWrapper(loss)


def fresh(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of `compile` in which what has a state is made anew."""
    arguments = dict(arguments)
    for name in ("metrics", "weighted_metrics"):
        arguments[name] = keras.tree.map_structure(_fresh, arguments.get(name))
    if isinstance(arguments["optimizer"], keras.Optimizer):
        arguments["optimizer"] = fresh_optimizer(arguments["optimizer"])
    return arguments


def own_name(metric: keras.Metric) -> str:
    """Return the name of a metric that was given none, without the number that Keras appends from the second on."""
    return re.sub(r"_\d+$", "", metric.name)


def _fresh(metric: object) -> object:
    if isinstance(metric, type):
        # Keras makes an object of a class at every compile, each with another name.
        made = metric()
        made.name = own_name(made)
        return made
    if not isinstance(metric, keras.Metric):
        return metric
    return from_config(metric, config_of(metric))
