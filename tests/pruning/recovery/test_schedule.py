"""The learning rate over a phase."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pruning import TrainingSpec
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.schedule import Schedule


@pytest.mark.parametrize(
    ("kind", "middle", "last"), [("constant", 1.0, 1.0), ("linear", 0.5, 0.0125), ("cosine", 0.5, 0.0004)]
)
def test_rates_warm_up_and_then_follow_the_schedule(kind: str, middle: float, last: float) -> None:
    training = TrainingSpec.model_validate({"learning_rate_schedule": kind, "warmup_fraction": 0.2})
    schedule = Schedule(training, 1.0, TrainingPhase("fine-tuning", 10, 0), num_batches=10)
    assert [schedule.rate(step) for step in (0, 9, 19, 20)] == pytest.approx([0.05, 0.5, 1.0, 1.0])
    assert schedule.rate(60) == pytest.approx(middle)
    assert schedule.rate(99) == pytest.approx(last, abs=1e-4)


def test_phases_of_one_budget_warm_up_once_and_fall_once() -> None:
    training = TrainingSpec(warmup_fraction=0.1)
    whole = Schedule(training, 1.0, TrainingPhase("", 10, 0), num_batches=10)
    parts = [
        Schedule(training, 1.0, TrainingPhase("", epochs, 0, 10 * first, 100), num_batches=10)
        for first, epochs in ((0, 3), (3, 3), (6, 4))
    ]
    rates = [part.rate(step) for part, epochs in zip(parts, (3, 3, 4), strict=True) for step in range(10 * epochs)]
    assert rates == pytest.approx([whole.rate(step) for step in range(100)])


def test_a_phase_beyond_the_budget_has_a_schedule_of_its_own() -> None:
    beyond = Schedule(TrainingSpec(), 1.0, TrainingPhase("", 3, 0, 30, 40), num_batches=10)
    own = Schedule(TrainingSpec(), 1.0, TrainingPhase("", 3, 0), num_batches=10)
    assert [beyond.rate(step) for step in range(30)] == [own.rate(step) for step in range(30)]


def test_several_steps_at_once_have_the_rate_of_the_first_of_them() -> None:
    class Rates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(float(self.model.optimizer.learning_rate))

    seen: list[float] = []
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=2)
    schedule = Schedule(TrainingSpec(), 1.0, TrainingPhase("", 3, 0), num_batches=4)
    x, y = np.ones((8, 3)), np.ones((8, 1))
    model.fit(x, y, batch_size=2, initial_epoch=1, epochs=3, callbacks=[schedule, Rates()], verbose=0)
    assert seen == pytest.approx([schedule.rate(step) for step in (4, 6, 8, 10)])
