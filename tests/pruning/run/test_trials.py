"""Which trial comes next, played through with accuracies that are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.run.setting import Setting
from pruning.run.state import RunState
from pruning.run.trial import BASE, Trial
from pruning.run.trials import next_trial, num_trials_expected
from tests.pruning.run.states import kept, row, setting, state

MAX_DROP, SMALLEST, FAR_TOO_MANY = 0.1, 0.02, 300
EPOCHS, SECONDS = 5, 30.0

Drop = Callable[[float], float]


def made(started: RunState, trial: Trial, drop: Drop, num_iterations: int) -> RunState:
    """Return the state after a trial: a candidate for each iteration, the last one of the size that was asked for."""
    assert trial.target is not None
    size = trial.target[1]
    began = {each.candidate.name: each.candidate.macs for each in started.kept}.get(trial.start, 1_000_000) / 1e6
    sizes = [began * (size / began) ** (number / num_iterations) for number in range(1, num_iterations + 1)]
    candidates = [
        kept(
            trial.candidate(number),
            each,
            drop(each),
            is_good=drop(each) <= MAX_DROP,
            trial=trial.name,
            iteration=number,
            baseline=trial.baseline,
        )
        for number, each in enumerate(sizes, 1)
    ]
    return started.model_copy(
        update={
            "trials": (*started.trials, trial),
            "kept": (*started.kept, *candidates),
            "rows": (*started.rows, row("fine-tuning", seconds=SECONDS)),
            "history": {**started.history, f"{trial.name}: fine-tuning 1": {"val_loss": [1.0] * EPOCHS}},
        }
    )


def searched(setting: Setting, drop: Drop, num_iterations: int = 1) -> Iterator[tuple[Trial, RunState, RunState]]:
    """Play a search to its end: each trial with the states before and after it."""
    reached = state(history={"training": {"val_loss": [1.0] * 1000}})
    for _ in range(FAR_TOO_MANY):
        trial = next_trial(setting, reached)
        if trial is None:
            return
        ended = made(reached, trial, drop, num_iterations)
        yield trial, reached, ended
        reached = ended
    raise AssertionError("the search does not end")


@pytest.fixture(scope="module")
def whole() -> Setting:
    return setting({"max_metric_drop": MAX_DROP})


@contextmanager
def asking(whole: Setting, **search: Any) -> Iterator[Setting]:
    """Let the search be asked for otherwise; the model is traced only once."""
    before = whole.spec
    whole.spec = type(before).model_validate({"max_metric_drop": MAX_DROP, "search": search})
    try:
        yield whole
    finally:
        whole.spec = before


@given(limit=st.floats(0.0, 1.0), resolution=st.floats(1e-5, 0.5), num_iterations=st.integers(1, 4))
@settings(deadline=None)
def test_a_search_ends_with_the_smallest_good_size(
    whole: Setting, limit: float, resolution: float, num_iterations: int
) -> None:
    """The accuracy falls with the size, and below a size it has fallen too far."""
    drop = lambda size: MAX_DROP * (limit / size)  # noqa: E731
    with asking(whole, resolution=resolution, max_trials=100) as asked:
        tried = list(searched(asked, drop, num_iterations))
    sizes = [trial.target[1] for trial, *_ in tried if trial.target is not None]
    good = [each.candidate.macs or 0 for each in tried[-1][-1].kept if each.candidate.meets_limits]
    smallest = min(good, default=1_000_000) / 1_000_000
    largest_bad = max([size for size in sizes if drop(size) > MAX_DROP], default=0.0)
    rounded = 1e-4  # Sizes have four decimals.
    assert largest_bad <= limit <= smallest + rounded
    assert smallest - rounded <= max(largest_bad * (1 + resolution), 2 * SMALLEST)
    assert all(SMALLEST <= size < 1 for size in sizes)
    assert len(set(sizes)) == len(sizes)


@given(seed=st.integers(0, 1000), resolution=st.floats(1e-5, 0.5), max_trials=st.integers(1, 100))
@settings(deadline=None)
def test_a_search_ends_whatever_the_accuracies_are(
    whole: Setting, seed: int, resolution: float, max_trials: int
) -> None:
    drop = lambda size: 0.2 * (hash((seed, round(size, 4))) % 100 / 100)  # noqa: E731
    with asking(whole, resolution=resolution, max_trials=max_trials) as asked:
        assert len(list(searched(asked, drop, 2))) <= max_trials


@pytest.mark.parametrize(
    ("search", "most"),
    [
        ({"max_trials": 1}, 1),
        ({"max_trials": 3}, 3),
        ({"max_epochs": 11}, 3),
        ({"max_epochs": 5}, 1),
        ({"max_minutes": 1.0}, 2),
        ({"max_trials": 2, "max_epochs": 1000, "max_minutes": 1000}, 2),
    ],
)
def test_a_search_ends_where_it_is_told_to(whole: Setting, search: dict[str, Any], most: int) -> None:
    with asking(whole, **({"resolution": 0.001, "max_trials": 50} | search)) as asked:
        tried = list(searched(asked, lambda size: MAX_DROP * 0.3 / size))
        assert len(tried) == most
        assert num_trials_expected(asked) >= most


@pytest.mark.parametrize("limit", [0.05, 0.3, 0.8])
def test_each_size_goes_on_from_the_smallest_good_candidate(whole: Setting, limit: float) -> None:
    drop = lambda size: MAX_DROP * limit / size  # noqa: E731
    for trial, begins, _ in searched(whole, drop):
        good = {each.candidate.macs: each.candidate.name for each in begins.kept if each.candidate.meets_limits}
        assert trial.start == (good[min(good)] if good else BASE)
        assert trial.target is not None
        assert not good or min(good) > 1_000_000 * trial.target[1]


def test_a_sweep_goes_through_all_sizes_of_each_criterion() -> None:
    spec = {"sweep": {"criteria": ["l1_norm", "taylor"], "sizes": [0.6, 0.4], "measure": "params"}}
    swept, reached = setting(spec), state()
    assert num_trials_expected(swept) == 4
    names = []
    while (trial := next_trial(swept, reached)) is not None:
        asked = trial.spec(swept.spec)
        names.append((trial.name, asked.criterion, asked.targets, trial.start))
        reached = reached.model_copy(update={"trials": (*reached.trials, trial)})
    assert names == [
        (f"{criterion}-{size:g}", criterion, {"target_params": size}, BASE)
        for criterion in ("l1_norm", "taylor")
        for size in (0.6, 0.4)
    ]


def test_one_trial_is_the_spec_itself() -> None:
    single = setting({"ratio": 0.25})
    trial = next_trial(single, state())
    assert trial == Trial()
    assert trial.spec(single.spec) == single.spec
    assert next_trial(single, state(trials=(trial,))) is None


def test_baselines_come_last_at_the_size_that_is_delivered() -> None:
    compared = setting({"target_macs": 0.5, "baselines": {"methods": ["random", "from_scratch"], "num_seeds": 2}})
    reached = made(state(), Trial(target=("target_macs", 0.4)), lambda size: 0.0, 2)
    assert num_trials_expected(compared) == 5
    names = []
    while (trial := next_trial(compared, reached)) is not None:
        names.append(trial.name)
        assert trial.start == BASE
        assert trial.spec(compared.spec).targets == {"target_macs": pytest.approx(0.4)}
        reached = made(reached, trial, lambda size: -1.0, 1)
    assert names == [f"baseline-{method}-{seed}" for method in ("random", "from_scratch") for seed in range(2)]


def test_without_a_candidate_there_is_nothing_to_compare_with() -> None:
    compared = setting({"target_macs": 0.5, "baselines": {}})
    assert next_trial(compared, state(trials=(Trial(),))) is None
