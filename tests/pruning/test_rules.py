"""The contract of every rule, for each row of the table in `rule_rows.py`.

Each row puts a layer between one that makes channels and one that reads them, and prunes by half.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, get_args, get_type_hints

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.graph.groups import ChannelGraph
from pruning.proof.reference import REFERENCES
from pruning.proof.verification import prove
from pruning.rules import FAMILIES, RULES
from pruning.scoring.linear import LINEAR
from pruning.surgery.cutting import prune_channels
from tests.pruning.rule_rows import FOLLOWED, LINE, LOCKED, MERGES, Make
from tests.strategies import randomise


def around(layer: layers.Layer, shape: tuple[int, ...]) -> keras.Model:
    """Return stem → layer → head, where the stem makes `shape[-1]` channels."""
    inputs = keras.Input((*shape[:-1], 3))
    hidden = layer(layers.Dense(shape[-1], name="stem")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="head")(hidden))
    randomise(model, seed=2)
    return model


@cache
def example(make: Make, shape: tuple[int, ...]) -> keras.Model:
    """Return the model of a row; it is made once, and no test changes it."""
    return around(make(), shape)


@pytest.mark.parametrize(("make", "shape"), [row[1:] for row in FOLLOWED], ids=[row[0] for row in FOLLOWED])
def test_channels_are_followed_through(make: Make, shape: tuple[int, ...]) -> None:
    model = example(make, shape)
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5, seed=1))
    assert {group.name: len(group.keep) for group in plan.groups}["stem"] < 6
    small = apply_plan(model, plan)
    proof = verify(model, small, plan)
    assert proof.passed, proof
    assert proof.output_spread > 1e-3
    assert small.count_params() == plan.params_after


@pytest.mark.parametrize(
    "name",
    ["slices", "split at places", "shuffle by take", "a constant for each channel", "Rescaling by channel",
     "GroupNormalization", "softmax by an operation", "tile and repeat"],
)  # fmt: skip
def test_what_follows_the_channels_follows_them_again(name: str) -> None:
    """What is known of the smaller model comes from the first one and is not traced anew."""
    make, shape = next(row[1:] for row in FOLLOWED if row[0] == name)
    graph = ChannelGraph(around(make(), shape))
    for _ in range(2):
        last = {group.name: np.arange(group.num_channels)[1:] for group in graph.groups if group.num_channels > 1}
        stays = graph.stays(last)
        smaller = prune_channels(graph, stays)
        assert not stays.all()
        assert prove(graph, stays, smaller.model).passed
        graph = smaller


@pytest.mark.parametrize(("make", "shape", "reason"), [row[1:] for row in LOCKED], ids=[row[0] for row in LOCKED])
def test_channels_are_locked_with_a_reason(make: Make, shape: tuple[int, ...], reason: str) -> None:
    graph = ChannelGraph(around(make(), shape))
    assert "stem" not in [group.name for group in graph.groups]
    assert reason in graph.locked["stem"]


@pytest.mark.parametrize("mask_zero", [False, True])
def test_embeddings_lose_columns_never_rows(mask_zero: bool) -> None:
    inputs = keras.Input((5,), dtype="int32")
    hidden = layers.Embedding(3, 6, mask_zero=mask_zero, name="table")(inputs)
    hidden = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(hidden)
    model = keras.Model(inputs, layers.Dense(2)(layers.GRU(4)(hidden)))
    randomise(model, seed=5)
    plan = make_plan(model, PruningSpec(criterion="l1_norm", ratio=0.5))
    small = apply_plan(model, plan)
    assert verify(model, small, plan).passed
    assert small.get_layer("table").embeddings.shape == (3, 3)


def test_masks_of_concatenated_embeddings_lock_nothing() -> None:
    """Keras makes the mask of both by looking at all channels at once."""
    inputs = keras.Input((5,), dtype="int32")
    tables = [layers.Embedding(9, width, mask_zero=True, name=f"table{width}")(inputs) for width in (6, 4)]
    model = keras.Model(inputs, layers.Dense(2)(layers.LSTM(4)(layers.Concatenate()(tables))))
    randomise(model, seed=5)
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5))
    assert {"table6", "table4"} <= {group.name for group in plan.groups}
    assert verify(model, apply_plan(model, plan), plan).passed


@pytest.mark.parametrize("key", ["activation", "recurrent_activation"])
def test_units_that_look_at_each_other_are_locked(key: str) -> None:
    graph = ChannelGraph(around(layers.LSTM(4, name="mixed", **{key: "softmax"}), LINE))
    assert [group.name for group in graph.groups] == ["stem"]
    assert "several channels at once" in graph.locked["mixed"]


@pytest.mark.parametrize("kind", MERGES)
@pytest.mark.parametrize("other", [(8, 8, 6), (1, 1, 6), (8, 8, 1)])
def test_merges(kind: type[layers.Layer], other: tuple[int, ...]) -> None:
    first, second = keras.Input((8, 8, 3)), keras.Input((*other[:-1], 3))
    branches = [layers.Dense(6, name="wide")(first), layers.Dense(other[-1], name="other")(second)]
    model = keras.Model([first, second], layers.Dense(2)(kind()(branches)))
    randomise(model, seed=3)
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5))
    assert verify(model, apply_plan(model, plan), plan).passed
    coupled = {frozenset(group.layers) for group in plan.groups}
    assert coupled == ({frozenset({"wide"})} if other[-1] == 1 else {frozenset({"wide", "other"})})


@pytest.mark.parametrize("axis", [-1, 1, 2, 3])
def test_concatenation_along_any_axis(axis: int) -> None:
    inputs = keras.Input((4, 4, 3))
    branches = [layers.Dense(6, name=name)(inputs) for name in ("left", "right")]
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate(axis=axis)(branches)))
    randomise(model, seed=4)
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5))
    assert verify(model, apply_plan(model, plan), plan).passed
    assert len(plan.groups) == (2 if axis in (-1, 3) else 1)


def test_channels_first_is_planned_alike() -> None:
    """No CPU kernel runs channels-first convolutions, but the plan does not run anything."""

    def model(data_format: str) -> keras.Model:
        arguments: dict[str, Any] = {"data_format": data_format}
        axis = 1 if data_format == "channels_first" else -1
        inputs = keras.Input((3, 8, 8) if axis == 1 else (8, 8, 3))
        hidden = layers.Conv2D(6, 3, name="stem", **arguments)(inputs)
        hidden = layers.BatchNormalization(axis=axis)(hidden)
        hidden = layers.DepthwiseConv2D(3, **arguments)(layers.ZeroPadding2D(1, **arguments)(hidden))
        hidden = layers.MaxPooling2D(2, **arguments)(hidden)
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten(**arguments)(hidden)))

    spec = PruningSpec(criterion="random", ratio=0.5)
    first, last = (make_plan(model(data_format), spec) for data_format in ("channels_first", "channels_last"))
    assert [group.keep for group in first.groups] == [group.keep for group in last.groups]
    assert (first.params_after, first.macs_after) == (last.params_after, last.macs_after)


def test_no_class_is_in_two_families() -> None:
    assert len(RULES) == sum(len(family.ROWS) for family in FAMILIES)


def test_every_rule_has_a_row() -> None:
    models = [example(make, shape) for _, make, shape in FOLLOWED]
    rows = {type(layer) for model in models for layer in [*model.operations, *model._flatten_layers()]}
    assert set(RULES) <= rows | set(MERGES) | {layers.Concatenate, layers.Embedding, layers.Masking}


@pytest.mark.parametrize(("kind", "function"), [*RULES.items(), *REFERENCES.items(), *LINEAR.items()])
def test_a_row_of_a_table_is_for_the_class_that_its_function_says(kind: type, function: Callable[..., Any]) -> None:
    """mypy checks what the function reads of that class; a protocol names arguments of the constructor."""
    hints = get_type_hints(function)
    said = hints["layer"] if "layer" in hints else hints["operation"]
    assert any(
        set(get_type_hints(each)) <= set(inspect.signature(kind).parameters)
        if getattr(each, "_is_protocol", False)
        else issubclass(kind, each)
        for each in get_args(said) or [said]
    )
