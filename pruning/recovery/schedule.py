"""The learning rate over the budget of a run."""

from __future__ import annotations

import math

import keras

from pruning.recovery.phase import TrainingPhase
from pruning.spec import TrainingSpec


class Schedule(keras.callbacks.Callback):
    """Warm up to the peak learning rate once, then follow the schedule to the end of the budget.

    A phase that lies beyond the budget, as the iterations of a run whose number only a limit decides may do, has a
    schedule of its own.

    Args:
        training: Which schedule, and the share of the budget to warm up in.
        peak: The highest learning rate.
        phase: Which part of the budget this is.
        num_batches: Optimizer steps of one epoch.
    """

    def __init__(self, training: TrainingSpec, peak: float, phase: TrainingPhase, num_batches: int) -> None:
        super().__init__()
        own = phase.num_epochs * num_batches
        total = phase.total_steps
        is_within = total is not None and phase.first_step + own <= total
        self._kind, self._peak = training.learning_rate_schedule, peak
        self._first = phase.first_step if is_within else 0
        self._total = max(own if not is_within or total is None else total, 1)
        self._warmup = int(training.warmup_fraction * self._total)
        self._num_batches, self._epoch = num_batches, 0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        # Several steps may be one batch for Keras, which names the first of them.
        self.model.optimizer.learning_rate = self.rate(self._epoch * self._num_batches + batch)

    def rate(self, step: int) -> float:
        """Return the learning rate at a step of the phase, counted from 0."""
        step += self._first
        if step < self._warmup:
            return self._peak * (step + 1) / self._warmup
        share = (step - self._warmup) / max(self._total - self._warmup, 1)
        factors = {"constant": 1.0, "linear": 1 - share, "cosine": (1 + math.cos(math.pi * share)) / 2}
        return self._peak * factors[self._kind]
