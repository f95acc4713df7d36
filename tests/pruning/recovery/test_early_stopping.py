"""Which epoch is the best, and when a phase is over."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning import PruningSpec
from pruning.recovery.early_stopping import judged, patience
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.training_state import TrainingState
from pruning.selection.drop import WatchedMetric

FIGURES = {"val_loss": 0.0, "val_accuracy": 0.0}
VALUES = st.lists(st.integers(0, 5).map(lambda whole: whole / 5), min_size=1, max_size=30)


def phase(metric: str, num_epochs: int) -> TrainingPhase:
    return TrainingPhase("", num_epochs, 0, watched=WatchedMetric(PruningSpec(ratio=0.5, metric=metric), FIGURES))


def watched(over: TrainingPhase, values: list[float]) -> list[TrainingState]:
    """Return the states before the first epoch and after each, as long as the phase goes on."""
    assert over.watched is not None
    states = [judged(over, TrainingState(), {over.watched.name: values[0]})]
    for epoch, value in enumerate(values[1:], 1):
        if states[-1].is_over:
            break
        states.append(judged(over, states[-1].model_copy(update={"epochs": epoch}), {over.watched.name: value}))
    return states


@given(VALUES, st.sampled_from(["val_loss", "val_accuracy"]))
def test_the_best_epoch_is_the_first_of_the_best(values: list[float], metric: str) -> None:
    """Epoch 0 is the model that the phase began with."""
    pick = min if metric == "val_loss" else max
    for epoch, state in enumerate(watched(phase(metric, len(values)), values)):
        seen = values[: epoch + 1]
        assert (state.best_epoch, state.best_value) == (seen.index(pick(seen)), pick(seen))


@given(VALUES, st.sampled_from(["val_loss", "val_accuracy"]))
def test_it_is_over_when_so_many_epochs_of_the_second_half_brought_nothing(values: list[float], metric: str) -> None:
    num_epochs = len(values) - 1
    states = watched(phase(metric, num_epochs), values)
    *before, last = states
    assert not any(state.is_over for state in before)
    fruitless = last.epochs - max(last.best_epoch or 0, num_epochs // 2)
    assert last.is_over == (fruitless == patience(num_epochs)) or num_epochs == 0
    assert last.is_over or last.epochs == num_epochs


@given(st.integers(1, 1000))
def test_patience_grows_with_the_phase_and_never_outlasts_a_long_one(num_epochs: int) -> None:
    assert patience(num_epochs) <= patience(num_epochs + 1)
    assert num_epochs < 3 or patience(num_epochs) <= num_epochs


def test_without_a_watched_metric_nothing_is_judged() -> None:
    state = TrainingState(epochs=3)
    assert judged(TrainingPhase("", 3, 0), state, FIGURES) is state


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy"])
def test_anything_is_better_than_no_number(metric: str) -> None:
    """A model whose loss is NaN right after a prune, and that training brings back."""
    states = watched(phase(metric, 4), [math.nan, 0.5, math.nan, 0.5, 0.5])
    assert [state.best_epoch for state in states] == [0, 1, 1, 1, 1]
    assert states[-1].best_value == 0.5
