"""Targets: reached as nearly as widths permit, or refused with the nearest point."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from keras import layers

from pruning import PruningSpec, apply_plan, make_plan, prune, verify
from pruning.counting.costs import Costs
from pruning.errors import InfeasibleError, NothingToPruneError, SpecError
from pruning.graph.groups import ChannelGraph
from pruning.measure import file_size_bytes
from pruning.selection.bounds import bounds
from tests.pruning.models import residual
from tests.strategies import models

FIELDS = ("target_params", "target_macs")


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_as_near_as_brute_force_says_it_can_be(data: st.DataObject) -> None:
    """The smallest model decides what is feasible; a solution is within 1 % if that is possible at all."""
    model = data.draw(models())
    asked = {
        "criterion": "l1_norm",
        "scope": data.draw(st.sampled_from(["local", "global"])),
        "round_to": data.draw(st.integers(1, 3)),
        "min_channels": data.draw(st.integers(1, 2)),
        **{name: data.draw(st.floats(0.05, 0.95)) for name in data.draw(st.sets(st.sampled_from(FIELDS), min_size=1))},
    }
    spec = PruningSpec.model_validate(asked)
    graph = ChannelGraph(model)
    costs = Costs(graph)
    permitted = [_permitted(group.num_channels, spec) for group in graph.groups]
    assume(np.prod([len(widths) for widths in permitted]) <= 50_000)
    everything = np.array(list(itertools.product(*permitted)), dtype=np.int64)
    count = {"target_params": costs.params, "target_macs": costs.macs}
    goals = {name: int(asked[name] * count[name](costs.widths)) for name in FIELDS if name in asked}

    def holds(widths: np.ndarray) -> np.ndarray:
        return np.all([count[name](widths) <= goal for name, goal in goals.items()], axis=0)

    if len(everything) == 1:
        with pytest.raises(NothingToPruneError):
            make_plan(model, spec)
        return
    if not np.any(holds(everything)):
        with pytest.raises(InfeasibleError) as caught:
            make_plan(model, spec)
        assert caught.value.nearest == {name: count[name](everything).min() for name in goals}
        return
    plan = make_plan(model, spec)
    widths = np.array([len(group.keep) for group in plan.groups])
    assert all(width in allowed for width, allowed in zip(widths, permitted, strict=True))
    assert holds(widths)

    def nearness(widths: np.ndarray) -> np.ndarray:
        return np.max([count[name](widths) / goal for name, goal in goals.items()], axis=0)

    if len(graph.groups) <= 5 and nearness(everything[holds(everything)]).max() >= 0.99:
        assert nearness(widths) >= 0.99
    wider = [
        np.concatenate([widths[:place], [min(w for w in allowed if w > widths[place])], widths[place + 1 :]])
        for place, allowed in enumerate(permitted)
        if widths[place] < max(allowed)
    ]
    assert nearness(widths) >= 0.99 or not any(holds(candidate) for candidate in wider)


def _permitted(num_channels: int, spec: PruningSpec) -> list[int]:
    multiples = range(spec.round_to, num_channels, spec.round_to)
    return [*(width for width in multiples if width >= spec.min_channels), num_channels]


def wide() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)), layers.Conv2D(64, 3, name="a"), layers.Conv2D(96, 3, name="b"),
            layers.Conv2D(40, 3, name="c"), layers.Flatten(), layers.Dense(2),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("round_to", [1, 8])
@pytest.mark.parametrize("target", [{"target_params": 0.4}, {"target_macs": 0.25}, {"target_params": 40_000}])
def test_within_one_per_cent(target: dict[str, float], round_to: int, scope: str) -> None:
    spec = PruningSpec.model_validate({"criterion": "l1_norm", "scope": scope, "round_to": round_to, **target})
    plan = make_plan(wide(), spec)
    name, goal = next(iter(target.items()))
    before, after = (
        (plan.params_before, plan.params_after) if name == "target_params" else (plan.macs_before, plan.macs_after)
    )
    assert before is not None
    assert after is not None
    limit = goal if goal > 1 else goal * before
    assert 0.99 * limit - 1 <= after <= limit
    assert all(len(group.keep) % round_to == 0 for group in plan.groups)


def test_together_the_one_that_binds_is_met_and_the_other_holds() -> None:
    plan = make_plan(wide(), PruningSpec(target_params=0.9, target_macs=0.3))
    assert plan.macs_before is not None
    assert plan.macs_after is not None
    assert 0.297 < plan.macs_after / plan.macs_before <= 0.3
    assert plan.params_after < 0.9 * plan.params_before
    assert plan.groups[0].why == "target_macs 0.3"


def compiled(is_trained: bool) -> keras.Model:
    model = wide()
    model.compile("adam", "mse")
    if is_trained:
        model.fit(np.ones((2, 12, 12, 3)), np.ones((2, 2)), verbose=0)
    return model


@pytest.mark.parametrize("is_share", [False, True])
@pytest.mark.parametrize("is_trained", [False, True])
def test_file_bytes_are_foretold_as_delivered(is_trained: bool, is_share: bool) -> None:
    model = compiled(is_trained)
    half = file_size_bytes(model, optimizer=True) // 2
    plan = make_plan(model, PruningSpec(target_file_bytes=0.5 if is_share else half))
    small = apply_plan(model, plan)
    assert small.optimizer.built == is_trained
    assert file_size_bytes(small, optimizer=True) == pytest.approx(half, rel=0.02)


@pytest.mark.parametrize("is_trained", [False, True])
def test_a_prune_goes_on_until_the_file_is_small_enough_as_delivered(is_trained: bool) -> None:
    model = compiled(is_trained)
    goal = file_size_bytes(model, optimizer=True) // 2
    result = prune(model, PruningSpec(target_file_bytes=goal, ratio=0.1))
    assert file_size_bytes(result.model, optimizer=True) == pytest.approx(goal, rel=0.02)
    assert result.report.after.file_bytes == file_size_bytes(result.model)
    assert result.report.stopped_because == f"target_file_bytes {goal} is reached"


def test_bytes_that_cannot_be_reached_are_told_as_delivered() -> None:
    model = compiled(True)
    with pytest.raises(InfeasibleError) as caught:
        make_plan(model, PruningSpec(target_file_bytes=5000, min_channels=8))
    assert str(caught.value.received).startswith("at most 5,000 ")
    nearest = caught.value.nearest["target_file_bytes"]
    plan = make_plan(model, PruningSpec(target_file_bytes=int(nearest) + 1, min_channels=8))
    assert file_size_bytes(apply_plan(model, plan), optimizer=True) == pytest.approx(nearest, rel=0.05)


@pytest.mark.parametrize(
    ("asked", "binding"),
    [
        ({"target_params": 0.01}, ("model",)),
        ({"target_params": 0.1, "min_channels": 6}, ("min_channels",)),
        ({"target_params": 0.1, "min_channels_by_layer": {"expand": 14}}, ("min_channels_by_layer",)),
        ({"target_macs": 0.1, "exclude": ["stem"]}, ("exclude",)),
        ({"target_macs": 0.1, "freeze": ["stem_bn"]}, ("freeze",)),
        ({"target_params": 0.2, "max_ratio": 0.3}, ("max_ratio",)),
        ({"target_params": 0.1, "max_filters_removed": 0.3}, ("max_filters_removed",)),
        ({"target_params": 0.1, "round_to": 8}, ("round_to",)),
        ({"target_params": 0.1, "min_channels": 6, "max_ratio": 0.3}, ("max_ratio", "min_channels")),
    ],
)
def test_what_binds_is_named(asked: dict[str, Any], binding: tuple[str, ...]) -> None:
    with pytest.raises(InfeasibleError) as caught:
        make_plan(residual(), asked)
    assert set(caught.value.binding) == set(binding)
    assert caught.value.field in ("pruning.target_params", "pruning.target_macs")
    assert "of the original" in str(caught.value)


def test_the_nearest_point_can_be_reached() -> None:
    with pytest.raises(InfeasibleError) as caught:
        make_plan(residual(), {"target_params": 0.1, "min_channels": 6})
    plan = make_plan(residual(), {"target_params": caught.value.nearest["target_params"], "min_channels": 6})
    assert plan.params_after == caught.value.nearest["target_params"]


def test_multiply_accumulates_of_open_shapes_are_no_target() -> None:
    inputs = keras.Input((None, None, 1))
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="open")(inputs))
    with pytest.raises(SpecError, match="open has an output of unknown size"):
        make_plan(keras.Model(inputs, layers.Dense(2)(hidden)), PruningSpec(target_macs=0.5))


def test_widths_are_rounded_up_and_never_away() -> None:
    graph = ChannelGraph(residual())  # stem 8, expand 16
    bounded = bounds(graph, PruningSpec(ratio=0.5, round_to=5))
    assert [bound.rounded(np.arange(1, 17)[:: 3]).tolist() for bound in bounded] == [
        [5, 5, 8, 8, 8, 8], [5, 5, 10, 10, 15, 16]
    ]  # fmt: skip


def test_a_model_pruned_to_a_target_is_right() -> None:
    model = residual()
    plan = make_plan(model, PruningSpec(target_macs=0.5, scope="global", round_to=2))
    assert verify(model, apply_plan(model, plan), plan).passed
