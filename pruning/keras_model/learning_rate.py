"""Where an optimizer takes its learning rate from: a number, a schedule, or a function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from pruning.keras_model.configs import cannot_make


def schedule_of(optimizer: keras.Optimizer) -> Any:
    """Return the schedule or function of an optimizer, or of the one whose loss it scales; `None` for a number."""
    source = getattr(_innermost(optimizer), "_learning_rate", None)
    return source if callable(source) and not isinstance(source, keras.Variable) else None


@contextmanager
def without_schedule(optimizer: keras.Optimizer) -> Iterator[None]:
    """Let an optimizer have for a while a number in place of its schedule: not every schedule has a config."""
    inner, schedule = _innermost(optimizer), schedule_of(optimizer)
    if schedule is None:
        yield
        return
    attributes = vars(inner)  # What is set here Keras does not track.
    attributes["_learning_rate"] = 0.5
    try:
        yield
    finally:
        attributes["_learning_rate"] = schedule


def fresh_optimizer(optimizer: keras.Optimizer) -> keras.Optimizer:
    """Return an optimizer like another one, without its state; a schedule is the same object.

    Raises:
        ModelError: It cannot be made anew from its own config.
    """
    schedule = schedule_of(optimizer)
    try:
        with without_schedule(optimizer):
            made: keras.Optimizer = type(optimizer).from_config(optimizer.get_config())
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise cannot_make(optimizer, error) from error
    if schedule is not None:
        _innermost(made).learning_rate = schedule
    return made


def require_config(optimizer: keras.Optimizer) -> None:
    """Raise `ModelError` if an optimizer has no config, without which Keras saves no model that has it."""
    try:
        optimizer.get_config()
    except NotImplementedError as error:
        schedule = schedule_of(optimizer)
        raise cannot_make(optimizer if schedule is None else schedule, error) from error


def _innermost(optimizer: keras.Optimizer) -> keras.Optimizer:
    inner: keras.Optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return inner
