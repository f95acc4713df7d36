"""How far a phase of training is, and what it takes to go on from there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pruning.recovery.snapshot import Snapshot, numbered


class TrainingState(BaseModel):
    """A phase after some of its epochs."""

    model_config = ConfigDict(frozen=True)

    epochs: int = Field(default=0, description="Epochs that are done.")
    history: dict[str, list[float]] = Field(default={}, description="For each figure one value an epoch.")
    best_epoch: int | None = Field(default=None, description="0: none was better than the model that it began with.")
    best_value: float | None = Field(default=None, description="Of the watched metric after that epoch.")
    is_over: bool = Field(default=False, description="Whether it ends here, before its last epoch.")


@dataclass(frozen=True)
class TrainingSnapshot:
    """A state with the variables that belong to it.

    Attributes:
        state: How far the training is.
        snapshot: Variables of model and optimizer after the last epoch.
        best: The model's variables after the best epoch; `None` where none is watched for.
        averages: The state of averages of the weights; `None` without.
    """

    state: TrainingState
    snapshot: Snapshot
    best: list[np.ndarray] | None = None
    averages: list[np.ndarray] | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All variables as arrays by name, for a file."""
        named = self.snapshot.arrays
        for prefix, arrays in (("best", self.best), ("averages", self.averages)):
            named |= {f"{prefix}.{place}": array for place, array in enumerate(arrays or [])}
        return named

    @classmethod
    def from_arrays(cls, state: TrainingState, named: dict[str, np.ndarray]) -> TrainingSnapshot:
        """Return the snapshot that `arrays` came from."""
        best, averages = numbered(named, "best"), numbered(named, "averages")
        return cls(state, Snapshot.from_arrays(named), best or None, averages or None)
