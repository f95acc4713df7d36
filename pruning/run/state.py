"""Where a run is: all that a step needs to know of those before it, but for the weights."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pruning.plan import PruningPlan
from pruning.recovery.training_state import TrainingState
from pruning.report import Candidate, StepReport
from pruning.run.trial import Trial
from pruning.spec import Augmentation

Stage = Literal[
    "measuring", "training", "choosing", "pruning", "fine-tuning", "closing", "post-training", "delivering", "done"
]
"""The step that comes next."""


class Kept(BaseModel):
    """A candidate, with what it takes to build it again and to go on from it."""

    model_config = ConfigDict(frozen=True)

    candidate: Candidate
    plan: PruningPlan
    wanted: dict[str, int] = Field(description="Group → the width that its prunes would have left without rounding up.")
    drop: str = Field(default="", description="The drop of the watched metric in words, where it is too large.")


class RunState(BaseModel):
    """A frozen moment of a run; with the variables of a model it is all that the run needs to go on."""

    model_config = ConfigDict(frozen=True)

    stage: Stage = "measuring"
    num_steps: int = Field(default=0, description="Steps that are done; sets the seeds of steps apart.")
    units: float = Field(default=0.0, description="Work that is done, in epochs; a prune counts as one.")
    trials: tuple[Trial, ...] = ()
    attempts: int = Field(default=0, description="Prunes of this trial, also those that took nothing.")
    iteration: int | None = Field(default=None, description="Number of the last prune of this trial, from 1.")
    plan: PruningPlan = Field(description="What stays of the original in the model that is at work.")
    wanted: dict[str, int]
    at_work: str | None = Field(default=None, description="Name of the candidate that the model at work is.")
    augmentation: Augmentation | None = Field(default=None, description="What was chosen for training after prunes.")
    phase: TrainingState | None = Field(default=None, description="Within a phase of training: how far it is.")
    rows: tuple[StepReport, ...] = ()
    history: dict[str, dict[str, list[float]]] = {}
    kept: tuple[Kept, ...] = ()
    because: str = Field(default="", description="Why the last trial ended.")
    goal_met: bool = True
    notes: tuple[str, ...] = ()

    def to(self, stage: Stage, **changes: Any) -> RunState:
        """Return the state in which that step is next."""
        return self.model_copy(update={"stage": stage, **changes})

    def noted(self, *notes: str) -> RunState:
        """Return the state with these lines for the report, each once."""
        return self.model_copy(update={"notes": tuple(dict.fromkeys((*self.notes, *notes)))})

    def as_json(self) -> str:
        """Return what `model_validate_json` reads; pydantic itself would write null for the NaN of a loss."""
        return json.dumps(self.model_dump(mode="json"))

    @property
    def trial(self) -> Trial:
        """The trial that is under way, or was the last."""
        return self.trials[-1]

    @property
    def reference(self) -> dict[str, float]:
        """Metrics of the model before the first prune."""
        return next(row for row in reversed(self.rows) if row.step in ("initial", "training")).metrics

    def kept_in(self, trial: str) -> tuple[Kept, ...]:
        """Return the candidates of a trial, given by its name."""
        return tuple(each for each in self.kept if each.candidate.trial == trial)

    @property
    def offered(self) -> tuple[Kept, ...]:
        """The candidates that may be delivered: all but baselines."""
        return tuple(each for each in self.kept if each.candidate.baseline is None)

    def named(self, name: str) -> Kept:
        """Return a candidate by its name."""
        return next(each for each in self.kept if each.candidate.name == name)
