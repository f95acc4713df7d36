"""A phase of training: how long, and where in the whole budget."""

from __future__ import annotations

from dataclasses import dataclass

from pruning.selection.drop import WatchedMetric


@dataclass(frozen=True)
class TrainingPhase:
    """A phase of training.

    Attributes:
        name: In the history, such as `"fine-tuning 2"`.
        num_epochs: Passes over the training set, at most.
        seed: Sets the phases of one run apart.
        first_step: Optimizer steps of the budget that lie before this phase.
        total_steps: Optimizer steps of the whole budget, over which the learning rate warms up and falls once; `None`:
            those of this phase.
        watched: The validation metric by which it ends early, and its best epoch is kept; `None`: it goes on to its
            end, which is what is kept.
    """

    name: str
    num_epochs: int
    seed: int
    first_step: int = 0
    total_steps: int | None = None
    watched: WatchedMetric | None = None
