"""Objects of Keras made anew from their own configs."""

from __future__ import annotations

from typing import Any, TypeVar

import keras

from pruning.errors import ModelError, first_line

Config = dict[str, Any]
Configured = keras.Operation | keras.Metric | keras.Optimizer
"""What Keras can make anew from a config."""
C = TypeVar("C", bound=Configured)


def config_of(operation: Configured) -> Config:
    """Return the config with the layer's own functions and objects in place of their names.

    A name may stand for something else in Keras, and a function of the user's for nothing at all.
    """
    try:
        config = dict(operation.get_config())
    except NotImplementedError as error:
        raise cannot_make(operation, error) from error
    for key, value in config.items():
        own = getattr(operation, key, None)
        if isinstance(value, str | dict) and callable(own) and not isinstance(own, keras.Layer | type):
            config[key] = own
    return config


def from_config(operation: C, config: Config) -> C:
    """Return another object of the same class.

    Raises:
        ModelError: The class does not take the config.
    """
    try:
        if isinstance(operation, keras.layers.Lambda):
            return type(operation)(**config)  # Its from_config would want to load code.
        made: C = type(operation).from_config(config)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise cannot_make(operation, error) from error
    return made


def cannot_make(operation: object, error: Exception) -> ModelError:
    """Return the error that says so of a layer, metric, optimizer or schedule, whatever Keras said of it."""
    kind = "layer" if isinstance(operation, keras.Layer) else "object"
    name = getattr(operation, "name", type(operation).__name__)
    return ModelError(
        f"The {kind} {name!r} cannot be made anew from its own config.",
        field="model",
        received=f"{type(operation).__module__}.{type(operation).__name__}: {first_line(error)}",
        expected="a class whose from_config takes what its get_config returns",
        hint="Give the class a get_config that returns all its constructor's arguments.",
    )
