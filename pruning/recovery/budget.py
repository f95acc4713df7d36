"""How long to train for what is removed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pruning.recovery.phase import TrainingPhase
from pruning.selection.drop import WatchedMetric
from pruning.spec import TrainingSpec

FEWEST_EPOCHS, MOST_EPOCHS = 3, 40
_FEWEST_STEPS, _STEPS_FOR_ALL = 600, 2400
"""Optimizer steps of fine-tuning: so many, and so many more in proportion to the share that is removed."""


@dataclass(frozen=True)
class Budget:
    """The epochs of one trial, and where each phase lies in them.

    Attributes:
        fine_tuning_epochs: After each prune.
        post_training_epochs: After the last iteration.
        num_iterations: How many prunes are expected.
        num_steps: Optimizer steps of one epoch.
        is_auto: Whether the epochs were chosen here: then phases end when they no longer help.
    """

    fine_tuning_epochs: int
    post_training_epochs: int
    num_iterations: int
    num_steps: int
    is_auto: bool

    @classmethod
    def of(cls, training: TrainingSpec, num_samples: int, num_iterations: int, left: float) -> Budget:
        """Return the budget of a trial.

        Args:
            training: How to train; `"auto"` epochs are chosen here.
            num_samples: Training samples; 0 where nothing can be trained.
            num_iterations: How many prunes are expected.
            left: Share of parameters or multiply-accumulates that is expected to be left.
        """
        if num_samples == 0:
            return cls(0, 0, num_iterations, 0, is_auto=False)
        num_steps = -(-num_samples // training.batch_size)
        asked = training.fine_tuning_epochs
        epochs = math.ceil(auto_epochs(num_steps, left) / num_iterations) if asked == "auto" else asked
        return cls(epochs, training.post_training_epochs, num_iterations, num_steps, asked == "auto")

    @property
    def num_epochs(self) -> int:
        """Epochs in all, as far as iterations can be foreseen."""
        return self.num_iterations * self.fine_tuning_epochs + self.post_training_epochs

    def fine_tuning(self, name: str, iteration: int, seed: int, watched: WatchedMetric | None) -> TrainingPhase:
        """Return the phase after a prune, counted from 1; one that was not expected has a schedule of its own."""
        if iteration > self.num_iterations:
            return TrainingPhase(name, self.fine_tuning_epochs, seed, watched=watched if self.is_auto else None)
        return self._phase(name, self.fine_tuning_epochs, (iteration - 1) * self.fine_tuning_epochs, seed, watched)

    def post_training(self, name: str, seed: int, watched: WatchedMetric | None) -> TrainingPhase:
        """Return the phase after the last iteration."""
        return self._phase(
            name, self.post_training_epochs, self.num_iterations * self.fine_tuning_epochs, seed, watched
        )

    def _phase(
        self, name: str, num_epochs: int, first_epoch: int, seed: int, watched: WatchedMetric | None
    ) -> TrainingPhase:
        return TrainingPhase(
            name,
            num_epochs,
            seed,
            first_step=first_epoch * self.num_steps,
            total_steps=self.num_epochs * self.num_steps,
            watched=watched if self.is_auto else None,
        )


def auto_epochs(num_steps: int, left: float) -> int:
    """Return how many epochs of fine-tuning fit what is removed.

    Args:
        num_steps: Optimizer steps of one epoch.
        left: Share of parameters or multiply-accumulates that is left, 0 to 1.
    """
    wanted = (_FEWEST_STEPS + _STEPS_FOR_ALL * (1 - left)) / num_steps
    return min(max(math.ceil(wanted), FEWEST_EPOCHS), MOST_EPOCHS)
