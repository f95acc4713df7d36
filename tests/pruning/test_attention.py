"""Attention by head and by the width of a head, in a small vision transformer and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.graph.groups import ChannelGraph
from pruning.selection.planning import describe
from tests.pruning.models import same, values
from tests.strategies import randomise

HALF = PruningSpec(criterion="l1_norm", ratio=0.5)


def transformer(num_blocks: int = 2, width: int = 8) -> keras.Model:
    """Patches, embedded positions, blocks of attention and dense layers with residuals, and a head."""
    inputs = keras.Input((8, 8, 3))
    patches = layers.Conv2D(width, 4, strides=4, name="patches")(inputs)
    hidden = layers.Reshape((4, width))(patches)
    places = 0 * keras.ops.cast(inputs[:, 0, :4, 0], "int32") + np.arange(4)
    positions = layers.Embedding(4, width, name="positions")(places)
    hidden = layers.Add()([hidden, positions])
    for index in range(num_blocks):
        normal = layers.LayerNormalization()(hidden)
        attended = layers.MultiHeadAttention(4, 6, name=f"attention{index}")(normal, normal)
        hidden = layers.Add()([hidden, attended])
        normal = layers.LayerNormalization()(hidden)
        normal = layers.Dense(2 * width, activation="gelu", name=f"wide{index}")(normal)
        hidden = layers.Add()([hidden, layers.Dense(width, name=f"narrow{index}")(normal)])
    hidden = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(hidden))
    model = keras.Model(inputs, layers.Dense(3, name="head")(hidden))
    randomise(model, seed=8)
    return model


def test_a_vision_transformer_is_pruned_and_verified(tmp_path: Path) -> None:
    model = transformer()
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    assert verify(model, small, plan).passed
    attention = small.get_layer("attention1")
    assert (attention.num_heads, attention.key_dim, attention.value_dim) == (2, 3, 3)
    assert attention.query_dense.kernel.shape == (4, 2, 3)
    assert small.count_params() == plan.params_after
    groups = {frozenset(group.layers) for group in plan.groups}
    assert frozenset({"patches", "positions", "attention0", "narrow0", "attention1", "narrow1"}) in groups
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert same(values(small), values(loaded))
    assert verify(model, loaded, plan).passed


def attend(query: Any, key: Any, value: Any, width: int) -> Any:
    scores = np.einsum("thd,shd->hts", query, key) / np.sqrt(width)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("hts,shd->thd", shares / shares.sum(-1, keepdims=True), value)


def test_a_narrower_key_by_hand() -> None:
    """Scores go on being divided by the root of the width they had."""
    inputs = keras.Input((5, 3))
    attention = layers.MultiHeadAttention(2, 4, name="attention")
    model = keras.Model(inputs, attention(inputs, inputs))
    randomise(model, seed=9)
    graph = ChannelGraph(model)
    (narrow,) = [
        group
        for group in graph.groups
        for axis in graph.axes_of(attention)
        if axis.variable_index == 2 and axis.axis == 2 and graph.rows(axis, group).size
    ]
    kept = np.array([0, 3])
    small = apply_plan(model, describe(graph, {narrow.name: kept}, HALF))
    data = np.random.default_rng(0).normal(size=(1, 5, 3)).astype("float32")
    weights = {
        name: [np.asarray(variable) for variable in (dense.kernel, dense.bias)]
        for name, dense in (
            ("query", attention.query_dense),
            ("key", attention.key_dense),
            ("value", attention.value_dense),
            ("output", attention.output_dense),
        )
    }
    query, key, value = (
        np.einsum("tc,chd->thd", data[0], weights[name][0]) + weights[name][1] for name in ("query", "key", "value")
    )
    mixed = attend(query[..., kept], key[..., kept], value[..., kept], width=4)
    expected = np.einsum("thd,hdc->tc", mixed, weights["output"][0][:, kept]) + weights["output"][1]
    np.testing.assert_allclose(np.asarray(small(data))[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("merged", [True, False])
def test_scores_that_are_an_output_keep_their_heads(merged: bool) -> None:
    inputs = keras.Input((5, 3))
    layer = layers.MultiHeadAttention(4, 4, name="attention")
    output, scores = layer(inputs, inputs, return_attention_scores=True)
    model = keras.Model(inputs, [output, keras.ops.mean(scores, axis=1) if merged else scores])
    randomise(model, seed=10)
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    assert verify(model, small, plan).passed
    attention = small.get_layer("attention")
    assert attention.key_dim == attention.value_dim == 2
    if not merged:
        assert small.get_layer("attention").num_heads == 4
