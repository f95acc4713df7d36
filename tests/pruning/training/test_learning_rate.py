"""The learning rate of an optimizer: read and given."""

from __future__ import annotations

import keras
import pytest

from pruning.errors import SpecError
from pruning.training.learning_rate import rate_of, with_rate


def test_a_schedule_is_read_by_its_peak_and_replaced_by_a_number() -> None:
    decay = keras.optimizers.schedules.CosineDecay(0.0, 100, warmup_target=0.5, warmup_steps=10)
    optimizer = keras.optimizers.SGD(decay, momentum=0.75)
    assert rate_of(optimizer) == 0.5
    changed = with_rate(optimizer, 0.25)
    assert (float(changed.learning_rate), changed.momentum) == (0.25, 0.75)


def test_several_optimizers_in_one_have_no_rate_to_follow() -> None:
    inner = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1))
    with pytest.raises(SpecError, match="several"):
        with_rate(keras.optimizers.MultiOptimizer(inner), 0.1)
