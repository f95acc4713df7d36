"""Functional models of a class of the user's own, which can have attributes and a training step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import keras
from keras.src.models.functional import Functional


def has_own_config(model: keras.Model) -> bool:
    """Tell whether a functional model's class makes its graph by itself, from a config that says nothing of widths.

    Such a class would make the original's graph again when a pruned model is loaded; a copy has to be a plain one.
    """
    cls = type(model)
    if isinstance(model, keras.Sequential) or not isinstance(model, Functional):
        return False
    return cls.get_config is not Functional.get_config or _function(cls) is not _function(Functional)


def _function(cls: type[keras.Model]) -> object:
    return getattr(cls.from_config, "__func__", cls.from_config)


@cache
def _names_of_keras() -> frozenset[str]:
    """Return the attributes that Keras gives a model when it is compiled, trained or measured."""
    inputs = keras.Input((1,), name="input")
    model = keras.Model(inputs, inputs, name="model")
    model.compile("sgd", "mean_squared_error")
    return frozenset(vars(model)) | {"history", "_eval_epoch_iterator"}


def of_class(original: Functional, copy: keras.Model, copies: Mapping[int, keras.Operation]) -> keras.Model:
    """Make a plain copy of a graph an instance of the original's class, with the original's own attributes.

    The class's constructor is not called: nobody knows with what the original was made. An attribute that is a layer of
    the graph becomes its copy; anything else, such as a teacher, is shared.

    Args:
        original: The model; not changed.
        copy: A functional model that was just made.
        copies: Id of each of the original's layers → its copy.
    """
    if type(original) is type(copy) or has_own_config(original):
        return copy
    copy.__class__ = type(original)
    for name, value in vars(original).items():
        if name not in vars(copy) and name not in _names_of_keras():
            setattr(copy, name, copies.get(id(value), value))
    return copy
