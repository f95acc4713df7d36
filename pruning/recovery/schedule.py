"""The learning rate over a phase of training."""

from __future__ import annotations

import math
from typing import Any

import keras

from pruning.spec import TrainingSpec


class Schedule(keras.callbacks.Callback):
    """Warm up to the peak learning rate, then follow the schedule to the end of the phase."""

    def __init__(self, training: TrainingSpec, peak: float, num_steps: int) -> None:
        super().__init__()
        self._kind, self._peak, self._num_steps = training.learning_rate_schedule, peak, max(num_steps, 1)
        self._warmup = int(training.warmup_fraction * num_steps)
        self._step = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = self.rate(self._step)
        self._step += 1

    def rate(self, step: int) -> float:
        """Return the learning rate at a step of the phase, counted from 0."""
        if step < self._warmup:
            return self._peak * (step + 1) / self._warmup
        share = (step - self._warmup) / max(self._num_steps - self._warmup, 1)
        factors = {"constant": 1.0, "linear": 1 - share, "cosine": (1 + math.cos(math.pi * share)) / 2}
        return self._peak * factors[self._kind]
