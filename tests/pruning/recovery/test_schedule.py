"""The learning rate over a phase."""

from __future__ import annotations

import pytest

from pruning import TrainingSpec
from pruning.recovery.schedule import Schedule


@pytest.mark.parametrize(
    ("kind", "middle", "last"), [("constant", 1.0, 1.0), ("linear", 0.5, 0.0125), ("cosine", 0.5, 0.0004)]
)
def test_rates_warm_up_and_then_follow_the_schedule(kind: str, middle: float, last: float) -> None:
    training = TrainingSpec.model_validate({"learning_rate_schedule": kind, "warmup_fraction": 0.2})
    schedule = Schedule(training, peak=1.0, num_steps=100)
    assert [schedule.rate(step) for step in (0, 9, 19, 20)] == pytest.approx([0.05, 0.5, 1.0, 1.0])
    assert schedule.rate(60) == pytest.approx(middle)
    assert schedule.rate(99) == pytest.approx(last, abs=1e-4)
