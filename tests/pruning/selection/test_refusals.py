"""Refusals before a plan: all that is wrong at once, with the true cause and a hint that fits."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from pruning import make_plan, prune
from pruning.errors import CriterionError, ModelError, NothingToPruneError


def chain(*widths: int, normalized: frozenset[int] = frozenset()) -> keras.Model:
    x = inputs = keras.Input((8, 8, 3))
    for number, width in enumerate(widths):
        x = layers.Conv2D(width, 3, padding="same", name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x) if number in normalized else x
    return keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x))


@pytest.mark.parametrize("criterion", ["random", "l1_norm", "kmeans", "geometric_median", "coupled_norm", "lamp"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_weights_are_named_whatever_the_criterion(criterion: str, value: float) -> None:
    model = chain(4, 4, 4)
    for name in ("conv0", "conv2"):
        bias = np.zeros(4)
        bias[1] = value
        model.get_layer(name).bias.assign(bias)
    with pytest.raises(ModelError, match=r"weights .* NaN or infinity.*in conv0, conv2\.") as caught:
        prune(model, {"ratio": 0.5, "criterion": criterion})
    assert not isinstance(caught.value, NothingToPruneError)


@pytest.mark.parametrize("criterion", ["l1_norm", "kmeans", "similar_filters"])
def test_a_plan_names_broken_weights_too(criterion: str) -> None:
    model = chain(4, 4)
    kernel = np.full(model.get_layer("conv1").kernel.shape, np.nan)
    model.get_layer("conv1").kernel.assign(kernel)
    with pytest.raises(ModelError, match="in conv1"):
        make_plan(model, {"ratio": 0.5, "criterion": criterion})


def test_broken_weights_of_nested_layers_are_named() -> None:
    inner = chain(4, 4)
    inner.get_layer("conv1").bias.assign([np.inf, 0, 0, 0])
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(ModelError, match="in conv1"):
        prune(keras.Model(inputs, layers.Conv2D(2, 1)(inner(inputs))), {"ratio": 0.5})


@pytest.mark.parametrize("normalized", [{0, 3}, {1}, {0, 1, 2}])
def test_all_groups_that_a_criterion_cannot_rank_are_named_at_once(normalized: set[int]) -> None:
    model = chain(8, 8, 8, 8, normalized=frozenset(normalized))
    spec = {"ratio": 0.5, "criterion": "batchnorm_scale"}
    others = [f"conv{number}" for number in range(4) if number not in normalized]
    with pytest.raises(CriterionError) as caught:
        make_plan(model, spec)
    assert all(name in str(caught.value.received) for name in others)
    hint = str(caught.value.hint)
    exclude = hint[hint.index("['") + 2 : hint.index("']")]
    plan = make_plan(model, {**spec, "exclude": [exclude]})
    assert all((len(group.keep) < group.num_channels) == (group.name not in others) for group in plan.groups)


def test_a_group_that_is_left_alone_is_not_asked() -> None:
    model = chain(8, 8, normalized=frozenset({0}))
    plan = make_plan(model, {"ratio": 0.5, "criterion": "batchnorm_scale", "exclude": ["conv1"]})
    assert [len(group.keep) for group in plan.groups] == [4, 8]


@pytest.mark.parametrize(
    ("widths", "spec", "received", "hint"),
    [
        ((1,), {}, "conv0: it has one channel", None),
        ((1, 1), {}, "conv1: it has one channel", None),
        ((8,), {"exclude": ["conv0"]}, "conv0: exclude 'conv0'", "Relax exclude."),
        ((8,), {"min_channels": 8}, "conv0: min_channels 8", "Relax min_channels."),
        (
            (8, 6),
            {"round_to": 8, "freeze": ["conv1"]},
            "round_to 8 gives all its 8 channels",
            "Relax freeze or round_to.",
        ),
        ((8, 6), {"include": ["head"]}, "conv0: not in include", "Relax include."),
    ],
)
def test_why_nothing_can_be_removed(
    widths: tuple[int, ...], spec: dict[str, object], received: str, hint: str | None
) -> None:
    with pytest.raises(NothingToPruneError) as caught:
        make_plan(chain(*widths), {"ratio": 0.5, "criterion": "l1_norm", **spec})
    assert received in str(caught.value.received)
    assert caught.value.hint == hint
