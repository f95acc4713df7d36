"""One table of layers and what pruning may do around each: the contract of every rule.

Each row puts a layer between one that makes channels and one that reads them, and prunes by half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.graph.groups import ChannelGraph
from pruning.rules import RULES
from tests.strategies import randomise

Make = Callable[[], layers.Layer]

LINE, IMAGE, VOLUME, VECTOR = (8, 6), (8, 8, 6), (4, 4, 4, 6), (6,)

ENTRYWISE = [
    ops.absolute, ops.cos, ops.round, ops.sign, ops.sin, ops.tanh, ops.celu, ops.elu, ops.gelu,
    ops.hard_shrink, ops.hard_sigmoid, ops.hard_silu, ops.hard_tanh, ops.leaky_relu, ops.log_sigmoid, ops.relu,
    ops.relu6, ops.selu, ops.sigmoid, ops.silu, ops.soft_shrink, ops.softplus, ops.softsign, ops.sparse_plus,
    ops.squareplus, ops.tanh_shrink,
]  # fmt: skip

FOLLOWED: list[tuple[str, Make, tuple[int, ...]]] = [
    ("Conv1D", lambda: layers.Conv1D(4, 3), LINE),
    ("Conv1D causal and dilated", lambda: layers.Conv1D(4, 3, padding="causal", dilation_rate=2), LINE),
    ("Conv2D", lambda: layers.Conv2D(4, 3), IMAGE),
    ("Conv2D strided", lambda: layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False), IMAGE),
    ("Conv2D in conv groups", lambda: layers.Conv2D(6, 3, groups=2), IMAGE),
    ("Conv2D with one channel a conv group", lambda: layers.Conv2D(12, 3, groups=6), IMAGE),
    ("Conv3D", lambda: layers.Conv3D(4, 2), VOLUME),
    ("Conv1DTranspose", lambda: layers.Conv1DTranspose(4, 3, strides=2), LINE),
    ("Conv2DTranspose", lambda: layers.Conv2DTranspose(4, 3, strides=2, padding="same"), IMAGE),
    ("Conv3DTranspose", lambda: layers.Conv3DTranspose(4, 2), VOLUME),
    ("DepthwiseConv1D", lambda: layers.DepthwiseConv1D(3), LINE),
    ("DepthwiseConv2D", lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"), IMAGE),
    ("SeparableConv1D", lambda: layers.SeparableConv1D(4, 3), LINE),
    ("SeparableConv2D", lambda: layers.SeparableConv2D(4, 3, depth_multiplier=3), IMAGE),
    ("Dense", lambda: layers.Dense(4), VECTOR),
    ("Dense on an image", lambda: layers.Dense(4, activation="gelu"), IMAGE),
    ("BatchNormalization", lambda: layers.BatchNormalization(), IMAGE),
    ("BatchNormalization without scale", lambda: layers.BatchNormalization(scale=False, center=False), VECTOR),
    ("LayerNormalization", lambda: layers.LayerNormalization(), IMAGE),
    ("LayerNormalization over all axes", lambda: layers.LayerNormalization(axis=[1, 2, 3], scale=False), IMAGE),
    ("LayerNormalization over positions", lambda: layers.LayerNormalization(axis=[1, 2]), IMAGE),
    ("GroupNormalization", lambda: layers.GroupNormalization(2), IMAGE),
    ("GroupNormalization of all channels at once", lambda: layers.GroupNormalization(1, center=False), IMAGE),
    ("GroupNormalization of each channel", lambda: layers.GroupNormalization(-1), IMAGE),
    ("RMSNormalization", lambda: layers.RMSNormalization(), IMAGE),
    ("UnitNormalization", lambda: layers.UnitNormalization(), IMAGE),
    ("UnitNormalization of a vector", lambda: layers.UnitNormalization(), VECTOR),
    ("Normalization, adapted", lambda: layers.Normalization(), IMAGE),
    ("Normalization", lambda: layers.Normalization(mean=[1.0, 2, 3, 4, 5, 6], variance=[1.0, 2, 3, 4, 5, 6]), IMAGE),
    ("Normalization by numbers", lambda: layers.Normalization(axis=None, mean=1.0, variance=2.0), IMAGE),
    ("LayerScale", lambda: LayerScale(0.1, 6), IMAGE),
    ("StochasticDepth", lambda: StochasticDepth(0.1), IMAGE),
    ("Rescaling by channel", lambda: layers.Rescaling([1.0, 2, 3, 4, 5, 6], offset=np.arange(6.0)), IMAGE),
    ("Softmax over channels", lambda: layers.Softmax(), IMAGE),
    ("Activation", lambda: layers.Activation("silu"), IMAGE),
    ("ELU", lambda: layers.ELU(), IMAGE),
    ("LeakyReLU", lambda: layers.LeakyReLU(), IMAGE),
    ("PReLU", lambda: layers.PReLU(), IMAGE),
    ("PReLU shared", lambda: layers.PReLU(shared_axes=[1, 2]), IMAGE),
    ("PReLU shared over channels", lambda: layers.PReLU(shared_axes=[3]), IMAGE),
    ("ReLU", lambda: layers.ReLU(max_value=6.0), IMAGE),
    ("Softmax over rows", lambda: layers.Softmax(axis=1), IMAGE),
    ("Identity", lambda: layers.Identity(), IMAGE),
    ("ActivityRegularization", lambda: layers.ActivityRegularization(l2=0.1), IMAGE),
    ("Rescaling", lambda: layers.Rescaling(0.5, offset=1.0), IMAGE),
    ("Dropout", lambda: layers.Dropout(0.5), IMAGE),
    ("AlphaDropout", lambda: layers.AlphaDropout(0.5), IMAGE),
    ("GaussianDropout", lambda: layers.GaussianDropout(0.5), IMAGE),
    ("GaussianNoise", lambda: layers.GaussianNoise(0.5), IMAGE),
    ("SpatialDropout1D", lambda: layers.SpatialDropout1D(0.5), LINE),
    ("SpatialDropout2D", lambda: layers.SpatialDropout2D(0.5), IMAGE),
    ("SpatialDropout3D", lambda: layers.SpatialDropout3D(0.5), VOLUME),
    ("AveragePooling1D", lambda: layers.AveragePooling1D(2), LINE),
    ("AveragePooling2D", lambda: layers.AveragePooling2D(2, padding="same"), IMAGE),
    ("AveragePooling3D", lambda: layers.AveragePooling3D(2), VOLUME),
    ("MaxPooling1D", lambda: layers.MaxPooling1D(2), LINE),
    ("MaxPooling2D", lambda: layers.MaxPooling2D(3, strides=1), IMAGE),
    ("MaxPooling3D", lambda: layers.MaxPooling3D(2), VOLUME),
    ("GlobalAveragePooling1D", lambda: layers.GlobalAveragePooling1D(), LINE),
    ("GlobalAveragePooling2D", lambda: layers.GlobalAveragePooling2D(keepdims=True), IMAGE),
    ("GlobalAveragePooling3D", lambda: layers.GlobalAveragePooling3D(), VOLUME),
    ("GlobalMaxPooling1D", lambda: layers.GlobalMaxPooling1D(keepdims=True), LINE),
    ("GlobalMaxPooling2D", lambda: layers.GlobalMaxPooling2D(), IMAGE),
    ("GlobalMaxPooling3D", lambda: layers.GlobalMaxPooling3D(), VOLUME),
    ("ZeroPadding1D", lambda: layers.ZeroPadding1D(1), LINE),
    ("ZeroPadding2D", lambda: layers.ZeroPadding2D(((1, 0), (0, 2))), IMAGE),
    ("ZeroPadding3D", lambda: layers.ZeroPadding3D(1), VOLUME),
    ("Cropping1D", lambda: layers.Cropping1D(1), LINE),
    ("Cropping2D", lambda: layers.Cropping2D(1), IMAGE),
    ("Cropping3D", lambda: layers.Cropping3D(1), VOLUME),
    ("UpSampling1D", lambda: layers.UpSampling1D(2), LINE),
    ("UpSampling2D", lambda: layers.UpSampling2D(2, interpolation="bilinear"), IMAGE),
    ("UpSampling3D", lambda: layers.UpSampling3D(2), VOLUME),
    ("Flatten", lambda: layers.Flatten(), IMAGE),
    ("Reshape", lambda: layers.Reshape((64, 6)), IMAGE),
    ("Reshape to one axis", lambda: layers.Reshape((-1,)), IMAGE),
    ("Permute", lambda: layers.Permute((2, 1, 3)), IMAGE),
    ("RepeatVector", lambda: layers.RepeatVector(3), VECTOR),
    ("Dropout of whole channels", lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, None)), IMAGE),
    ("CustomScaleLayer", lambda: lambda x: CustomScaleLayer(scale=0.3)([x, x]), IMAGE),
    ("SimpleRNN", lambda: layers.SimpleRNN(4), LINE),
    ("LSTM", lambda: layers.LSTM(4), LINE),
    ("LSTM of sequences, backwards", lambda: layers.LSTM(4, return_sequences=True, go_backwards=True), LINE),
    ("LSTM without bias, unrolled", lambda: layers.LSTM(4, use_bias=False, unroll=True), LINE),
    ("GRU", lambda: layers.GRU(4, return_sequences=True), LINE),
    ("GRU that resets before", lambda: layers.GRU(4, reset_after=False), LINE),
    ("LSTM with its states", lambda: with_states(layers.LSTM), LINE),
    ("GRU with its states", lambda: with_states(layers.GRU), LINE),
    ("ConvLSTM1D", lambda: layers.ConvLSTM1D(4, 3), IMAGE),
    ("ConvLSTM2D", lambda: layers.ConvLSTM2D(4, 2, return_sequences=True, padding="same"), VOLUME),
    ("ConvLSTM3D", lambda: layers.ConvLSTM3D(4, 2), (2, *VOLUME)),
    ("RNN of a SimpleRNNCell", lambda: layers.RNN(layers.SimpleRNNCell(4), return_sequences=True), LINE),
    ("RNN of a GRUCell", lambda: layers.RNN(layers.GRUCell(4)), LINE),
    ("RNN of an LSTMCell", lambda: layers.RNN(layers.LSTMCell(4)), LINE),
    ("RNN of stacked cells", lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(6)]), LINE),
    ("Bidirectional LSTM", lambda: layers.Bidirectional(layers.LSTM(4, return_sequences=True)), LINE),
    ("Bidirectional GRU, summed", lambda: layers.Bidirectional(layers.GRU(4), merge_mode="sum"), LINE),
    ("Bidirectional, multiplied", lambda: layers.Bidirectional(layers.SimpleRNN(4), merge_mode="mul"), LINE),
    ("Bidirectional, averaged", lambda: layers.Bidirectional(layers.LSTM(4), merge_mode="ave"), LINE),
    ("Bidirectional, apart", lambda: apart, LINE),
    ("TimeDistributed", lambda: layers.TimeDistributed(layers.Conv2D(4, 2)), VOLUME),
    ("TimeDistributed model", lambda: layers.TimeDistributed(small_network()), VOLUME),
    ("SpectralNormalization", lambda: layers.SpectralNormalization(layers.Conv2D(4, 3)), IMAGE),
    ("SpectralNormalization on the way", lambda: layers.SpectralNormalization(layers.DepthwiseConv2D(3)), IMAGE),
    ("x + 3", lambda: lambda x: x + 3, IMAGE),
    ("3 - x", lambda: lambda x: 3 - x, IMAGE),
    ("x * x", lambda: lambda x: x * x, IMAGE),
    ("x / 2", lambda: lambda x: x / 2, IMAGE),
    ("divide", lambda: lambda x: ops.divide(x, 2.0), IMAGE),
    ("maximum", lambda: lambda x: ops.maximum(x, 0.1), IMAGE),
    ("minimum", lambda: lambda x: ops.minimum(x, -x), IMAGE),
    ("clip", lambda: lambda x: ops.clip(x, -0.5, 0.5), IMAGE),
    ("log of positive numbers", lambda: lambda x: ops.log(ops.exp(x) + 1.0), IMAGE),
    ("root of a square", lambda: lambda x: ops.sqrt(ops.square(x) + 0.01), IMAGE),
    *((function.__name__, lambda function=function: function, IMAGE) for function in ENTRYWISE),
]  # fmt: skip


def with_states(kind: type[layers.Layer]) -> Make:
    """An encoder whose states start a decoder, and both their outputs."""

    def call(x: Any) -> Any:
        encoded, *states = kind(4, return_sequences=True, return_state=True)(x)
        return layers.Concatenate()([encoded, kind(4, return_sequences=True)(x, initial_state=states)])

    return call


def apart(x: Any) -> Any:
    forwards, backwards, *_ = layers.Bidirectional(layers.LSTM(4, return_state=True), merge_mode=None)(x)
    return layers.Concatenate()([forwards, layers.Dense(3)(backwards)])


def small_network() -> keras.Model:
    return keras.Sequential([layers.Conv2D(5, 2, activation="relu"), layers.Flatten(), layers.Dense(4)])


def over_channels(x: Any) -> Any:
    return layers.TimeDistributed(layers.Dense(2))(layers.Permute((2, 1))(x))


MERGES = [layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum]

LOCKED: list[tuple[str, Make, tuple[int, ...], str]] = [
    ("softmax as an activation", lambda: layers.Activation("softmax"), IMAGE, "several channels at once"),
    ("glu as an activation", lambda: layers.Activation("glu"), IMAGE, "several channels at once"),
    ("an unknown activation", lambda: layers.Activation(lambda x: x), IMAGE, "not known"),
    ("channels along the time axis", lambda: over_channels, LINE, "time axis"),
    ("wrapped unknown layer", lambda: layers.TimeDistributed(layers.Lambda(lambda x: x)), IMAGE, "no rule"),
    ("wrapped statistics", lambda: layers.TimeDistributed(layers.LayerNormalization()), IMAGE, "inside another layer"),
    ("Lambda", lambda: layers.Lambda(lambda x: x), IMAGE, "no rule"),
    ("a constant for each channel", lambda: lambda x: x + np.ones(6, "float32"), IMAGE, "constant array"),
    ("dropout with a noise shape", lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, 6)), IMAGE, "noise_shape"),
    ("rescaling by position", lambda: layers.Rescaling(np.ones((8, 6))), IMAGE, "several axes"),
]


def around(layer: layers.Layer, shape: tuple[int, ...]) -> keras.Model:
    """Return stem → layer → head, where the stem makes `shape[-1]` channels."""
    inputs = keras.Input((*shape[:-1], 3))
    hidden = layer(layers.Dense(shape[-1], name="stem")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="head")(hidden))
    randomise(model, seed=2)
    return model


@pytest.mark.parametrize(("make", "shape"), [row[1:] for row in FOLLOWED], ids=[row[0] for row in FOLLOWED])
def test_channels_are_followed_through(make: Make, shape: tuple[int, ...]) -> None:
    model = around(make(), shape)
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5, seed=1))
    assert {group.name: len(group.keep) for group in plan.groups}["stem"] < 6
    small = apply_plan(model, plan)
    proof = verify(model, small, plan)
    assert proof.passed, proof
    assert proof.output_spread > 1e-3
    assert small.count_params() == plan.params_after


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


def test_every_rule_has_a_row() -> None:
    models = [around(make(), shape) for _, make, shape in FOLLOWED]
    rows = {type(layer) for model in models for layer in [*model.operations, *model._flatten_layers()]}
    assert set(RULES) <= rows | set(MERGES) | {layers.Concatenate, layers.Embedding}
