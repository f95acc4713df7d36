"""The learning rate of an optimizer: read from it, and given to it."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras

from pruning.errors import SpecError
from pruning.keras_model.learning_rate import schedule_of, without_schedule

_LAST_STEP = 10**7
"""How far the highest rate of a schedule is looked for."""


def rate_of(optimizer: keras.Optimizer) -> float:
    """Return the learning rate of an optimizer; of a schedule the highest one, after its warm-up.

    Raises:
        SpecError: The schedule has no rate above 0, or the optimizer is made of several, each with a rate of its own.
    """
    _require_one_rate(optimizer)
    schedule = schedule_of(optimizer)
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    highest = _highest(lambda step: float(schedule(keras.ops.convert_to_tensor(step, optimizer.iterations.dtype))))
    if not 0 < highest < math.inf:
        raise SpecError(
            f"The compiled model's learning rate schedule {type(schedule).__name__} has no usable rate.",
            field="training.learning_rate",
            received=f"a maximum rate of {highest:g}",
            expected="a finite rate above 0",
            hint="Set training.learning_rate.",
        )
    return highest


def _highest(rate: Callable[[int], float]) -> float:
    """Return the highest rate of all steps: of steps that lie ever further apart, then of ever nearer ones about it."""
    steps = [*range(16), *(round(16 * 1.1**power) for power in range(1 + round(math.log(_LAST_STEP / 16, 1.1))))]
    while True:
        rates = [rate(step) for step in steps]
        best = rates.index(max(rates))
        low, high = steps[max(best - 1, 0)], steps[min(best + 1, len(steps) - 1)]
        if high - low <= 2:
            return rates[best]
        steps = sorted({*range(low, high + 1, max(1, (high - low) // 16)), steps[best], high})


def with_rate(optimizer: keras.Optimizer, rate: float) -> keras.Optimizer:
    """Give an optimizer a learning rate that can be set; one with a schedule is made anew.

    Raises:
        SpecError: The optimizer is made of several, each with a rate of its own.
    """
    if hasattr(optimizer, "inner_optimizer"):
        optimizer.inner_optimizer = with_rate(optimizer.inner_optimizer, rate)
        return optimizer
    _require_one_rate(optimizer)
    with without_schedule(optimizer):
        anew: keras.Optimizer = type(optimizer).from_config({**optimizer.get_config(), "learning_rate": rate})
    return anew


def _require_one_rate(optimizer: keras.Optimizer) -> None:
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        raise SpecError(
            "A combined optimizer does not have a single learning rate.",
            field="training.optimizer",
            received="MultiOptimizer",
            expected="an optimizer with a single learning rate",
            hint="Set training.optimizer, for example to 'adamw'.",
        )
