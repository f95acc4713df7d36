"""When a phase of training no longer helps, and which of its epochs is the best."""

from __future__ import annotations

from pruning.recovery.phase import TrainingPhase
from pruning.recovery.training_state import TrainingState

_FEWEST, _SHARE = 3, 0.2


def patience(num_epochs: int) -> int:
    """Return how many epochs in a row may bring nothing."""
    return max(_FEWEST, round(_SHARE * num_epochs))


def judged(phase: TrainingPhase, state: TrainingState, figures: dict[str, float]) -> TrainingState:
    """Return the state with the epoch that was just done judged by the watched metric.

    Epochs of the first half never end a phase: what a falling learning rate brings comes late.

    Args:
        phase: What is watched.
        state: With that epoch counted already; with none, the model is judged that the phase began with.
        figures: By name; those of the validation set start with `val_`.
    """
    if phase.watched is None:
        return state
    value = figures[phase.watched.name]
    is_better = state.best_value is None or phase.watched.is_better(value, state.best_value)
    best_epoch = state.epochs if is_better else state.best_epoch or 0
    is_over = state.epochs - max(best_epoch, phase.num_epochs // 2) >= patience(phase.num_epochs)
    best = {"best_epoch": best_epoch, "best_value": value if is_better else state.best_value}
    return state.model_copy(update={**best, "is_over": is_over})
