"""Selection: ratios, patterns, widths, targets."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, make_plan
from pruning.errors import CriterionError, NothingToPruneError, SpecError
from pruning.graph.groups import ChannelGraph
from pruning.selection.planning import Extent, plan_prune
from tests.pruning.models import residual

NONE = "no ratio is given for it"


def kept(spec: PruningSpec, model: keras.Model | None = None) -> dict[str, int]:
    return {group.name: len(group.keep) for group in make_plan(model or residual(), spec).groups}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"ratio": 0.5}, {"stem": 4, "expand": 8}),
        ({"ratio": 0.99}, {"stem": 1, "expand": 1}),
        ({"ratio": 0.01}, {"stem": 8, "expand": 16}),
        ({"ratio": 0.9, "min_channels": 3}, {"stem": 3, "expand": 3}),
        ({"ratio": 0.5, "exclude": ["proj.*"]}, {"stem": 8, "expand": 8}),
        ({"ratio": 0.5, "include": ["project"]}, {"stem": 4, "expand": 16}),
        ({"ratio": 0.5, "ratios": {"expand": 0.25}}, {"stem": 4, "expand": 12}),
        ({"ratios": {"stem": 0.5, "project": 0.25}}, {"stem": 6, "expand": 16}),
        ({"ratio": 0.5, "ratios_by_width": [{"min_channels": 9, "ratio": 0.75}]}, {"stem": 4, "expand": 4}),
        ({"ratio": 0.5, "ratios_by_width": [{"min_channels": 1, "ratio": 0}]}, {"stem": 8, "expand": 16}),
        ({"ratio": 0.5, "max_filters_removed": 0.25}, {"stem": 6, "expand": 12}),
        ({"ratio": 0.5, "freeze": ["project"]}, {"stem": 8, "expand": 8}),
        ({"ratio": 0.5, "freeze": ["stem_bn"]}, {"stem": 8, "expand": 8}),
        ({"ratio": 0.5, "freeze": ["head"]}, {"stem": 4, "expand": 8}),
        ({"ratio": 0.9, "min_channels": 2, "min_channels_by_layer": {"project": 5}}, {"stem": 5, "expand": 2}),
        ({"ratio": 0.9, "max_ratio": 0.3}, {"stem": 6, "expand": 12}),
        ({"ratio": 0.5, "round_to": 3}, {"stem": 6, "expand": 9}),
        ({"ratio": 0.9, "round_to": 12}, {"stem": 8, "expand": 12}),
        ({"ratio": 0.9, "round_to": 4, "min_channels": 5}, {"stem": 8, "expand": 8}),
    ],
)
def test_how_many_channels_stay(asked: dict[str, Any], expected: dict[str, int]) -> None:
    assert kept(PruningSpec(criterion="l1_norm", **asked)) == expected


@pytest.mark.parametrize("target", [0.2, 0.5, 0.8])
def test_a_target_without_a_ratio_is_reached_and_no_channel_too_many_goes(target: float) -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(64, 3), layers.Conv2D(64, 3), layers.Flatten(), layers.Dense(2)]
    )
    plan = make_plan(model, PruningSpec(criterion="random", target_params=target))
    assert plan.params_after <= target * plan.params_before
    assert plan.params_after >= (target - 0.03) * plan.params_before


def test_a_ratio_stops_at_the_target() -> None:
    graph = ChannelGraph(residual())
    params = graph.model.count_params()
    spec = PruningSpec(criterion="l1_norm", ratio=0.9, target_params=0.75)
    plan = plan_prune(graph, spec, Extent(at_most={"target_params": params * 3 // 4})).plan
    assert params * 0.6 < plan.params_after <= params * 3 // 4


def test_a_plan_counts_what_surgery_would_give() -> None:
    plan = make_plan(residual(), PruningSpec(ratio=0.5))
    rows = {row.path: row for row in plan.layers}
    assert rows["expand"].params_after == 9 * 4 * 8 + 8
    assert rows["expand"].macs_after == 64 * 9 * 4 * 8
    assert rows["head"].locked == "head is an output of the model"
    assert plan.params_after == sum(row.params_after for row in plan.layers)


@pytest.mark.parametrize("field", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_named(field: str) -> None:
    with pytest.raises(SpecError, match=r"'stm.\*' matches no layer") as caught:
        make_plan(residual(), PruningSpec(ratio=0.5, **{field: ["stm.*"]}))
    assert caught.value.field == f"pruning.{field}"


@pytest.mark.parametrize(
    "model",
    [
        keras.Sequential([keras.Input((3,)), layers.Dense(2, name="only")]),
        keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten()]),
    ],
)
def test_a_model_without_a_prunable_layer_says_why(model: keras.Model) -> None:
    with pytest.raises(NothingToPruneError, match=r"output of the model|no layer that makes channels"):
        make_plan(model, PruningSpec(ratio=0.5))


def test_everything_excluded_says_so() -> None:
    with pytest.raises(NothingToPruneError, match="Relax exclude"):
        make_plan(residual(), PruningSpec(ratio=0.5, exclude=[".*"]))


def test_a_criterion_that_chooses_wrongly_is_named() -> None:
    class Twice:
        def select(self, channels: Any, num_keep: int) -> np.ndarray:
            return np.zeros(num_keep, dtype=int)

    from pruning import Criterion

    class Wrong(Twice, Criterion):
        pass

    with pytest.raises(CriterionError, match="Wrong did not choose"):
        make_plan(residual(), PruningSpec(criterion=Wrong, ratio=0.5))


def test_a_criterion_that_raises_is_named() -> None:
    with pytest.raises(CriterionError, match="ZeroDivisionError"):
        make_plan(residual(), PruningSpec(criterion=lambda weights: 1 / 0, ratio=0.5))


def test_l1_norm_keeps_the_largest_filters_of_all_coupled_layers() -> None:
    model = residual()
    stem, project = (np.asarray(model.get_layer(name).kernel) for name in ("stem", "project"))
    norms = np.abs(stem).sum(axis=(0, 1, 2)) + np.abs(project).sum(axis=(0, 1, 2))
    plan = make_plan(model, PruningSpec(criterion="l1_norm", ratio=0.5))
    assert list(plan.groups[0].keep) == sorted(np.argsort(norms)[-4:].tolist())


@pytest.mark.parametrize(
    ("asked", "whys"),
    [
        ({"ratio": 0.5}, ["ratio 0.5", "ratio 0.5"]),
        ({"ratio": 0.5, "ratios": {"proj.*": 0.25}}, ["ratios 'proj.*' 0.25", "ratio 0.5"]),
        ({"ratios_by_width": [{"min_channels": 9, "ratio": 0.5}]}, [NONE, "ratios_by_width 0.5 from 9"]),
        ({"target_params": 0.5, "exclude": ["stem"]}, ["exclude 'stem'", "target_params 0.5"]),
        ({"ratio": 0.9, "target_macs": 0.5}, ["ratio 0.9; target_macs 0.5", "ratio 0.9; target_macs 0.5"]),
        ({"ratio": 0.9, "round_to": 8, "include": ["expand"]}, ["not in include", "ratio 0.9; round_to 8"]),
        ({"ratio": 0.9, "min_channels": 5}, ["ratio 0.9; min_channels 5", "ratio 0.9; min_channels 5"]),
        ({"ratio": 0.4, "freeze": ["stem_bn"], "scope": "global"}, ["freeze 'stem_bn'", "ratio 0.4; global ranking"]),
    ],
)  # fmt: skip
def test_a_plan_says_why(asked: dict[str, Any], whys: list[str]) -> None:
    plan = make_plan(residual(), {"criterion": "l1_norm", **asked})
    assert [group.why for group in plan.groups] == whys
    rows = {row.path: row for row in plan.layers}
    assert rows["project"].why == whys[0]
    assert rows["head"].why == "head is an output of the model"


def test_a_wrong_spec_is_one_of_our_errors() -> None:
    with pytest.raises(SpecError, match="less than 1"):
        make_plan(residual(), {"ratio": 2})


def _branch() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    hidden = layers.Conv2D(8, 3, name="conv", use_bias=False)(inputs)
    hidden = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(hidden))
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten(name="flat")(hidden)))


@pytest.mark.parametrize("field", ["exclude", "freeze"])
def test_a_layer_that_scales_channels_keeps_them_by_its_name(field: str) -> None:
    spec = PruningSpec(max_filters_removed=0.5, ratio=0.5, **{field: ["norm"]})
    with pytest.raises(NothingToPruneError):
        make_plan(_branch(), spec)


def test_numbers_by_layer_go_by_a_layer_that_scales_too() -> None:
    plan = make_plan(_branch(), PruningSpec(ratio=0.5, min_channels_by_layer={"norm": 6}))
    assert [len(group.keep) for group in plan.groups] == [6]


@pytest.mark.parametrize("field", ["include", "exclude", "freeze"])
def test_a_pattern_that_matches_only_layers_without_channels_is_told(field: str) -> None:
    with pytest.raises(SpecError, match=r"neither make nor scale channels.*relu, flat"):
        make_plan(_branch(), PruningSpec(ratio=0.5, **{field: ["relu|flat"]}))
