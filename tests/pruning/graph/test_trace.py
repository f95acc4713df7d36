"""Models in which channels pass through many kinds of operation, and sizes that are not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.counting.reach import reach
from pruning.errors import ModelError
from pruning.graph.groups import ChannelGraph
from pruning.rules import RULES
from pruning.rules.context import Context
from tests.strategies import randomise


def widths(inputs: Any, outputs: Any) -> dict[str, tuple[int, int]]:
    """Prune half of a model, prove it right, and return how many channels each group had and has."""
    model = keras.Model(inputs, outputs)
    randomise(model, seed=6)
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5, seed=1))
    proof = verify(model, apply_plan(model, plan), plan)
    assert proof.passed, proof
    return {group.name: (group.num_channels, len(group.keep)) for group in plan.groups}


def test_a_backbone_of_unknown_size_before_flatten() -> None:
    images = keras.Input((None, None, 3))
    hidden = layers.MaxPooling2D(2)(layers.Conv2D(8, 3, padding="same", name="conv")(images))
    backbone = keras.Model(images, hidden, name="backbone")
    inputs = keras.Input((8, 8, 3))
    assert widths(inputs, layers.Dense(2)(layers.Flatten()(backbone(inputs)))) == {"backbone/conv": (8, 4)}


@pytest.mark.parametrize(
    "step",
    [
        layers.Reshape((-1, 8)),
        lambda x: ops.reshape(x, (-1, 8)),
        lambda x: ops.mean(x, axis=(1, 2)),
        lambda x: ops.transpose(x, (0, 2, 1, 3)) + ops.max(x, axis=-1, keepdims=True)[:, :1, :1],
        lambda x: ops.concatenate([x[:, :1], x], axis=1),
    ],
)
def test_unknown_sizes_beside_the_channels(step: Callable[[Any], Any]) -> None:
    inputs = keras.Input((None, None, 3))
    hidden = layers.Conv2D(8, 3, padding="same", name="conv")(inputs)
    assert widths(inputs, layers.Dense(2)(step(hidden))) == {"conv": (8, 4)}


def test_channels_that_meet_an_unknown_size_stay() -> None:
    inputs = keras.Input((None, 3))
    turned = ops.reshape(ops.transpose(layers.Dense(8, name="dense")(inputs), (0, 2, 1)), (-1, 24))
    graph = ChannelGraph(keras.Model(inputs, turned))
    assert "unknown size, or the batch axis" in graph.locked["dense"]


def test_a_vision_transformer_written_with_operations() -> None:
    inputs = keras.Input((8, 8, 3))
    tokens = ops.reshape(layers.Conv2D(12, 2, strides=2, name="patches")(inputs), (-1, 16, 12))
    tokens = tokens + np.random.default_rng(0).normal(size=(1, 16, 12)).astype("float32")
    three = ops.split(layers.Dense(36, name="heads")(layers.LayerNormalization()(tokens)), 3, axis=-1)
    query, key, value = (ops.transpose(ops.reshape(one, (-1, 16, 3, 4)), (0, 2, 1, 3)) for one in three)
    scores = ops.softmax(ops.matmul(query, ops.swapaxes(key, -1, -2)) / 2.0)
    mixed = ops.reshape(ops.transpose(ops.matmul(scores, value), (0, 2, 1, 3)), (-1, 16, 12))
    tokens = tokens + layers.Dense(12)(mixed)
    tokens = tokens + layers.Dense(12)(layers.Dense(24, "gelu", name="mlp")(layers.LayerNormalization()(tokens)))
    assert widths(inputs, layers.Dense(2)(ops.mean(tokens, axis=1))) == {
        "patches": (12, 6),
        "heads": (4, 2),  # Of each head's width: queries and keys together,
        "heads#2": (4, 2),  # and values.
        "mlp": (24, 12),
    }


def test_masks_that_travel_with_tensors() -> None:
    words = keras.Input((10,), dtype="int32")
    hidden = layers.LSTM(6, return_sequences=True, name="lstm")(
        layers.Embedding(50, 8, mask_zero=True, name="embedding")(words)
    )
    hidden = layers.BatchNormalization()(layers.Dense(6, name="dense")(hidden))
    pruned = widths(words, layers.Dense(2)(layers.GlobalAveragePooling1D()(hidden)))
    assert pruned == {"embedding": (8, 4), "lstm": (6, 3), "dense": (6, 3)}


def test_an_operation_without_a_rule_locks_with_its_name() -> None:
    inputs = keras.Input((8, 8, 3))
    hidden = ops.conv(layers.Conv2D(6, 3, name="made")(inputs), np.ones((3, 3, 6, 4), "float32"))
    reasons = reach(ChannelGraph(keras.Model(inputs, layers.Dense(2)(layers.Dense(4)(hidden))))).reasons
    assert list(reasons) == ["made"]
    assert "no rule for keras.src.ops.nn.Conv" in reasons["made"]


def test_channels_first_operations_are_planned_alike() -> None:
    """No CPU kernel runs channels-first convolutions, but the plan does not run anything."""

    def model(axis: int) -> keras.Model:
        data_format = "channels_first" if axis == 1 else "channels_last"
        inputs = keras.Input((3, 8, 8) if axis == 1 else (8, 8, 3))
        hidden = layers.Conv2D(8, 3, name="stem", data_format=data_format)(inputs)
        hidden = layers.GroupNormalization(2, axis=axis)(layers.LayerNormalization(axis=axis)(hidden))
        hidden = hidden * ops.softmax(hidden, axis=axis) + ops.mean(hidden, axis=axis, keepdims=True)
        first, second = ops.split(ops.average_pool(hidden, 2, data_format=data_format), [3], axis=axis)
        hidden = ops.concatenate([second, first], axis=axis)
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten(data_format=data_format)(hidden)))

    spec = PruningSpec(criterion="random", ratio=0.5)
    first, last = (make_plan(model(axis), spec) for axis in (1, 3))
    assert [group.keep for group in first.groups] == [group.keep for group in last.groups] != []
    assert first.params_after == last.params_after


class _Own(layers.Layer):
    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],), name="scale")

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


@pytest.mark.parametrize("wrong", ["no list", "two", "long", "rank"])
def test_a_rule_of_ones_own_that_returns_something_else_is_told(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(context: Context, layer: Any, inputs: Any, outputs: Any) -> Any:
        labels = context.along(inputs[0], 2)
        context.weight(layer.scale, 0, labels, "through")
        laid = labels.reshape(1, 1, -1)
        return {"no list": laid, "two": [laid, laid], "long": [np.append(laid, laid, axis=2)], "rank": [labels]}[wrong]

    monkeypatch.setitem(RULES, _Own, rule)
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(_Own()(layers.Conv2D(8, 3)(inputs))))
    with pytest.raises(ModelError, match="The rule for _Own returned no labels for its outputs"):
        ChannelGraph(model)


def test_a_role_that_there_is_none_of_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(context: Context, layer: Any, inputs: Any, outputs: Any) -> Any:
        labels = context.along(inputs[0], 2)
        context.weight(layer.scale, 0, labels, "output")  # type: ignore[arg-type]
        return [labels.reshape(1, 1, -1)]

    monkeypatch.setitem(RULES, _Own, rule)
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="the roles are out, in, through, scale"):
        ChannelGraph(keras.Model(inputs, _Own()(layers.Conv2D(8, 3)(inputs))))
