"""How far a run is, for those who wait."""

from __future__ import annotations

from typing import Any

from pruning.errors import InfeasibleError
from pruning.progress import Phase, Progress
from pruning.report import Step
from pruning.run.setting import Setting
from pruning.run.state import RunState
from pruning.run.trial import Trial
from pruning.run.trials import next_trial, num_trials_expected

SCORING_UNITS = 0.9
"""Of a prune that looks at data, which counts as one unit: the share that the looking takes."""
_NEARLY = 0.99
"""As far as a run seems to be as long as it goes on: what it will take is an estimate."""
PHASES: dict[Step, Phase] = {
    "initial": "loading",
    "training": "training",
    "pruning": "pruning",
    "fine-tuning": "fine-tuning",
    "restoring": "pruning",
    "post-training": "post-training",
}


def tell(setting: Setting, state: RunState, phase: Phase, units: float = 0.0, **details: Any) -> None:
    """Say how far the run is.

    Args:
        setting: The run's.
        state: Where it is.
        phase: What is being done.
        units: Work done since that state, in epochs.
        details: Other fields of `Progress`.
    """
    trial = _trial(setting, state)
    done = (state.units + units) / max(_units(setting, state, trial), 1.0)
    fraction = 1.0 if phase == "saving" else min(done, _NEARLY)
    count = setting.asked(trial).iterations.count if trial is not None and state.trials else None
    setting.on_progress(Progress(phase, fraction, iteration=state.iteration, num_iterations=count, **details))


def _units(setting: Setting, state: RunState, trial: Trial | None) -> float:
    """Return the whole work in epochs, as far as it can be foreseen; a prune counts as one."""
    training = 0 if setting.recovery is None else setting.training.epochs
    if trial is None:
        return training + 10.0
    budget = setting.budget(trial)
    num_iterations = max(budget.num_iterations, state.iteration or 0)
    units = num_iterations * (1 + budget.fine_tuning_epochs) + budget.post_training_epochs
    return training + units * max(num_trials_expected(setting), len(state.trials))


def _trial(setting: Setting, state: RunState) -> Trial | None:
    """Return the trial that is under way or comes first; `None` if it is out of reach and left out."""
    trial = state.trial if state.trials else next_trial(setting, state)
    if trial is not None:
        try:
            setting.asked(trial)
        except InfeasibleError:
            return None
    return trial
