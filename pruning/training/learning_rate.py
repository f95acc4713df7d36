"""The learning rate of an optimizer: read from it, and given to it."""

from __future__ import annotations

from typing import Any

import keras

from pruning.errors import SpecError

_DEFAULT_LEARNING_RATE = 1e-3


def rate_of(optimizer: Any) -> float:
    """Return the learning rate of an optimizer; with a schedule, the rate that it starts from or warms up to."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    rate = optimizer.get_config().get("learning_rate", _DEFAULT_LEARNING_RATE)
    if isinstance(rate, dict):
        schedule = rate.get("config", {})
        rate = schedule.get("warmup_target") or schedule.get("initial_learning_rate", _DEFAULT_LEARNING_RATE)
    return float(rate)


def with_rate(optimizer: Any, rate: float) -> Any:
    """Give an optimizer a learning rate that can be set; one with a schedule is made anew.

    Raises:
        SpecError: The optimizer is made of several, each with a rate of its own.
    """
    if hasattr(optimizer, "inner_optimizer"):
        optimizer.inner_optimizer = with_rate(optimizer.inner_optimizer, rate)
        return optimizer
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        raise SpecError(
            "An optimizer that is made of several cannot follow one learning rate.",
            field="training.optimizer",
            received="MultiOptimizer",
            expected="an optimizer with one learning rate",
            hint="Set training.optimizer, for example to 'adamw'.",
        )
    return type(optimizer).from_config({**optimizer.get_config(), "learning_rate": rate})
