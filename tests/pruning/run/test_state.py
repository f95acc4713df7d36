"""What a run knows of itself goes through JSON and comes back the same."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.recovery.training_state import TrainingState
from pruning.run.state import RunState
from pruning.run.steps import STEPS
from pruning.run.trial import Trial
from tests.pruning.run.states import kept, row, state

FIGURES = st.dictionaries(st.sampled_from(["loss", "val_loss", "val_accuracy"]), st.floats())
HISTORY = st.dictionaries(st.sampled_from(["loss", "val_loss"]), st.lists(st.floats(), max_size=3))
STATES = st.builds(
    lambda figures, phase, history, trials, seconds, stage: state(
        kept("iteration-1", 0.5, 0.1, came_from="other"),
        stage=stage,
        rows=(row("initial", metrics=figures, seconds=seconds),),
        phase=phase,
        history={"fine-tuning 1": history},
        trials=trials,
        notes=("ä note",),
        at_work="iteration-1",
    ),
    FIGURES,
    st.none()
    | st.builds(TrainingState, epochs=st.integers(0, 9), history=HISTORY, best_epoch=st.none() | st.integers(0, 9)),
    HISTORY,
    st.lists(
        st.builds(
            Trial,
            name=st.text(max_size=5),
            target=st.none() | st.tuples(st.just("target_macs"), st.floats(0.01, 0.99)),
            baseline=st.sampled_from([None, "random", "from_scratch"]),
        ),
        max_size=3,
    ).map(tuple),
    st.floats(0, 1e6),
    st.sampled_from([*STEPS, "done"]),
)


@given(STATES)
@settings(deadline=None)
def test_a_state_comes_back_from_json_bit_for_bit(before: RunState) -> None:
    after = RunState.model_validate_json(before.as_json())
    assert repr(after) == repr(before)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_figures_that_are_no_finite_numbers_come_back(value: float) -> None:
    """The loss of a model that was just cut, or came so, may be anything."""
    before = state(
        rows=(row("pruning", metrics={"val_loss": value}),),
        history={"fine-tuning 1": {"val_loss": [value, 1.0]}},
        phase=TrainingState(epochs=1, history={"val_loss": [value]}, best_epoch=0, best_value=value),
    )
    after = RunState.model_validate_json(before.as_json())
    told: list[Any] = [
        after.rows[0].metrics["val_loss"],
        after.history["fine-tuning 1"]["val_loss"][0],
        after.phase and after.phase.best_value,
    ]
    assert repr(told) == repr([value] * 3)


def test_every_stage_but_the_last_has_a_step() -> None:
    stages = set(RunState.model_fields["stage"].annotation.__args__)  # type: ignore[union-attr]
    assert set(STEPS) == stages - {"done"}


def test_notes_are_told_once() -> None:
    assert state(notes=("a",)).noted("b", "a").notes == ("a", "b")


def test_the_reference_is_the_last_model_before_the_first_prune() -> None:
    rows = row("initial", 0.1), row("training", 0.8), row("pruning", 0.3), row("fine-tuning", 0.7)
    assert state(rows=rows).reference["val_accuracy"] == 0.8
    assert state(rows=rows[:1]).reference["val_accuracy"] == 0.1


def test_baselines_are_not_offered() -> None:
    own, other = kept("own", 0.5, 0.1), kept("other", 0.5, 0.0, baseline="random", trial="baseline-random-0")
    reached = state(own, other)
    assert reached.offered == (own,)
    assert reached.kept_in("baseline-random-0") == (other,)
    assert reached.named("other") == other
