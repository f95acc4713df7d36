"""How long a trial trains, and where its phases lie in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning import PruningSpec, TrainingSpec
from pruning.recovery.budget import FEWEST_EPOCHS, MOST_EPOCHS, Budget, auto_epochs
from pruning.recovery.phase import TrainingPhase
from pruning.selection.drop import WatchedMetric

WATCHED = WatchedMetric(PruningSpec(ratio=0.5), {"val_accuracy": 0.5})


def phases(budget: Budget) -> list[TrainingPhase]:
    """Return all phases of a trial that goes as expected, and that have epochs."""
    fine = [
        budget.fine_tuning(f"fine-tuning {number}", number, 0, WATCHED)
        for number in range(1, budget.num_iterations + 1)
    ]
    return [phase for phase in (*fine, budget.post_training("post-training", 0, WATCHED)) if phase.num_epochs]


@given(
    fine=st.one_of(st.integers(0, 20), st.just("auto")),
    post=st.integers(0, 20),
    batch=st.integers(1, 300),
    samples=st.integers(1, 5000),
    iterations=st.integers(1, 12),
    left=st.floats(0, 1),
)
def test_phases_lie_end_to_end_and_fill_the_budget(
    fine: Any, post: int, batch: int, samples: int, iterations: int, left: float
) -> None:
    training = TrainingSpec(fine_tuning_epochs=fine, post_training_epochs=post, batch_size=batch)
    budget, step = Budget.of(training, samples, iterations, left), 0
    num_steps = len(range(0, samples, batch))
    for phase in phases(budget):
        assert phase.first_step == step
        assert phase.total_steps == budget.num_epochs * num_steps
        step += phase.num_epochs * num_steps
    assert step == budget.num_epochs * num_steps
    if fine != "auto":
        assert budget.num_epochs == iterations * fine + post


def test_an_iteration_that_was_not_expected_takes_nothing_of_the_post_training() -> None:
    budget = Budget.of(TrainingSpec(fine_tuning_epochs=2, post_training_epochs=6), 100, 3, 0.5)
    assert budget.fine_tuning("fine-tuning 4", 4, 7, WATCHED) == TrainingPhase("fine-tuning 4", 2, 7)


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_automatic_epochs_lie_within_bounds_and_grow_with_what_is_removed(num_steps: int, left: float) -> None:
    assert FEWEST_EPOCHS <= auto_epochs(num_steps, left) <= MOST_EPOCHS
    assert auto_epochs(num_steps, left) >= auto_epochs(num_steps, min(1.0, left + 0.1))
    assert auto_epochs(num_steps, left) >= auto_epochs(num_steps + 1, left)


@given(st.integers(1, 1000), st.floats(0, 1), st.integers(1, 12))
def test_iterations_share_the_automatic_epochs(samples: int, left: float, iterations: int) -> None:
    budget = Budget.of(TrainingSpec(), samples, iterations, left)
    whole = auto_epochs(budget.num_steps, left)
    assert whole <= budget.num_epochs < whole + iterations


def test_only_epochs_that_were_chosen_here_end_early() -> None:
    chosen, asked = (
        Budget.of(TrainingSpec(fine_tuning_epochs=epochs, post_training_epochs=2), 100, 2, 0.5)
        for epochs in ("auto", 3)
    )
    assert {phase.watched for phase in phases(chosen)} == {WATCHED}
    assert {phase.watched for phase in phases(asked)} == {None}


@pytest.mark.parametrize("epochs", ["auto", 5])
def test_without_samples_there_is_nothing_to_train(epochs: Any) -> None:
    budget = Budget.of(TrainingSpec(fine_tuning_epochs=epochs, post_training_epochs=3), 0, 4, 0.5)
    assert (budget.num_epochs, phases(budget)) == (0, [])
