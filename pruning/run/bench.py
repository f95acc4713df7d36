"""What the steps of a run work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pruning.recovery.training_state import TrainingSnapshot
from pruning.run.models import Models
from pruning.run.setting import Setting
from pruning.run.state import RunState

Save = Callable[[RunState, TrainingSnapshot], None]


@dataclass
class Bench:
    """What the steps of a run work with.

    Attributes:
        setting: What the run goes by.
        models: Its models.
        save: Told of each epoch: the state, and what the training needs to go on from there; `None`: nobody is.
        resumed: What the training that was interrupted needs to go on; `None` otherwise.
    """

    setting: Setting
    models: Models
    save: Save | None = None
    resumed: TrainingSnapshot | None = None

    def interrupted(self) -> TrainingSnapshot | None:
        """Return what an interrupted training goes on from, once."""
        resumed, self.resumed = self.resumed, None
        return resumed
