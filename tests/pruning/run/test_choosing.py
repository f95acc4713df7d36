"""Which candidate is delivered, which are on the front, what baselines come to."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.run.choosing import best, compared, front
from pruning.run.setting import Setting
from pruning.run.state import Kept
from tests.pruning.run.states import kept, setting, state

TARGET, DROP = {"target_macs": 0.5}, {"ratio": 0.1, "max_metric_drop": 0.05}


@pytest.fixture(scope="module")
def settings() -> dict[str, Setting]:
    return {"target": setting(TARGET), "drop": setting(DROP)}


def chosen(setting: Setting, *candidates: Kept) -> str | None:
    """Return the name of the best, and require that the order of the candidates has no say in it."""
    names = {
        None if found is None else found.candidate.name
        for order in itertools.permutations(candidates)
        for found in [best(setting, order)]
    }
    (name,) = names
    return name


def test_nothing_is_the_best_of_nothing(settings: dict[str, Setting]) -> None:
    assert chosen(settings["target"]) is None


def test_the_most_accurate_is_the_best_where_a_target_says_how_small(settings: dict[str, Setting]) -> None:
    candidates = kept("small", 0.3, 0.2), kept("accurate", 0.5, 0.1), kept("too large", 0.9, 0.0, is_good=False)
    assert chosen(settings["target"], *candidates) == "accurate"


def test_the_smallest_is_the_best_where_a_drop_says_how_bad(settings: dict[str, Setting]) -> None:
    candidates = kept("small", 0.3, 0.04), kept("accurate", 0.5, 0.01), kept("too bad", 0.2, 0.3, is_good=False)
    assert chosen(settings["drop"], *candidates) == "small"


def test_without_one_within_the_limits_the_nearest_is_the_best(settings: dict[str, Setting]) -> None:
    missed: dict[str, Any] = {"is_good": False}
    assert chosen(settings["target"], kept("a", 0.7, 0.1, **missed), kept("b", 0.6, 0.2, **missed)) == "b"
    assert chosen(settings["drop"], kept("a", 0.7, 0.3, **missed), kept("b", 0.6, 0.4, **missed)) == "a"
    assert chosen(settings["drop"], kept("a", 0.3, None, **missed), kept("b", 0.6, 0.4, **missed)) is not None


def test_a_model_whose_metric_is_no_number_is_the_worst(settings: dict[str, Setting]) -> None:
    broken, whole = kept("broken", 0.3, math.nan, is_good=False), kept("whole", 0.5, 0.4, is_good=False)
    assert chosen(settings["drop"], broken, whole, kept("other", 0.6, 0.5, is_good=False)) == "whole"
    assert front([broken.candidate, whole.candidate]) == ("whole",)


def test_what_was_post_trained_takes_the_place_of_what_it_came_from(settings: dict[str, Setting]) -> None:
    before = kept("before", 0.4, 0.01)
    assert chosen(settings["target"], before, kept("after", 0.4, 0.02, came_from="before")) == "after"
    spoiled = kept("after", 0.4, 0.2, came_from="before", is_good=False)
    assert chosen(settings["drop"], before, spoiled) == "before"


POINTS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=12)


@given(POINTS)
def test_the_front_is_what_no_other_beats(points: list[tuple[int, int]]) -> None:
    candidates = [kept(str(place), size / 6, drop / 10).candidate for place, (size, drop) in enumerate(points)]
    found = [points[int(name)] for name in front(candidates)]
    assert found == sorted(set(found))
    for size, drop in points:
        is_beaten = any(
            (other[0] <= size and other[1] < drop) or (other[0] < size and other[1] <= drop) for other in points
        )
        assert ((size, drop) in found) is not is_beaten


def test_baselines_are_not_on_the_front() -> None:
    assert front([kept("own", 0.5, 0.1).candidate, kept("other", 0.4, 0.0, baseline="random").candidate]) == ("own",)


def test_baselines_are_compared_by_mean_and_deviation(settings: dict[str, Setting]) -> None:
    candidates = [
        kept("own", 0.5, 0.0),
        *(kept(f"random-{seed}", 0.5, drop, baseline="random") for seed, drop in enumerate((0.1, 0.2, 0.3))),
        kept("l1", 0.5, 0.1, baseline="uniform_l1"),
    ]
    random, uniform = compared(settings["drop"], state(*candidates))
    assert (random.method, random.metric, uniform.method) == ("random", "val_accuracy", "uniform_l1")
    assert random.values == pytest.approx((0.8, 0.7, 0.6))
    assert (random.mean, random.std) == pytest.approx((0.7, 0.1))
    assert (uniform.mean, uniform.std) == (pytest.approx(0.8), 0.0)
    assert compared(settings["drop"], state(kept("own", 0.5, None), accuracy=None)) == ()
