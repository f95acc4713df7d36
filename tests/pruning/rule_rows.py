"""The one table of layers and operations, and what pruning may do around each; `test_rules.py` goes through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

Make = Callable[[], layers.Layer]

LINE, IMAGE, VOLUME, VECTOR = (8, 6), (8, 8, 6), (4, 4, 4, 6), (6,)

ENTRYWISE = [
    ops.absolute, ops.cos, ops.round, ops.sign, ops.sin, ops.tanh, ops.celu, ops.elu, ops.gelu,
    ops.hard_shrink, ops.hard_sigmoid, ops.hard_silu, ops.hard_tanh, ops.leaky_relu, ops.log_sigmoid, ops.relu,
    ops.relu6, ops.selu, ops.sigmoid, ops.silu, ops.soft_shrink, ops.softplus, ops.softsign, ops.sparse_plus,
    ops.squareplus, ops.tanh_shrink, ops.arcsinh, ops.arctan, ops.cbrt, ops.ceil, ops.copy, ops.cosh, ops.erf, ops.exp2,
    ops.expm1, ops.floor, ops.nan_to_num, ops.sinh, ops.sparse_sigmoid, ops.stop_gradient, ops.tan, ops.trunc,
]  # fmt: skip

OF_LARGE_NUMBERS = [ops.arccosh, ops.log10, ops.log1p, ops.log2, ops.reciprocal, ops.rsqrt]
OF_SMALL_NUMBERS = [ops.arccos, ops.arcsin, ops.arctanh]
OF_TWO = [ops.arctan2, ops.divide_no_nan, ops.fmax, ops.fmin, ops.hypot, ops.logaddexp, ops.mod, ops.power]
WHETHER = [ops.equal, ops.greater_equal, ops.less, ops.less_equal, ops.not_equal]

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
    ("BatchNormalization of rows", lambda: layers.BatchNormalization(axis=1), IMAGE),
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
    ("softmax as an activation", lambda: layers.Activation("softmax"), IMAGE),
    ("log_softmax as an activation", lambda: layers.Activation("log_softmax"), IMAGE),
    ("ELU", lambda: layers.ELU(), IMAGE),
    ("LeakyReLU", lambda: layers.LeakyReLU(), IMAGE),
    ("PReLU", lambda: layers.PReLU(), IMAGE),
    ("PReLU shared", lambda: layers.PReLU(shared_axes=[1, 2]), IMAGE),
    ("PReLU shared over channels", lambda: layers.PReLU(shared_axes=[3]), IMAGE),
    ("ReLU", lambda: layers.ReLU(max_value=6.0), IMAGE),
    ("Softmax with a mask", lambda: lambda x: layers.Softmax()(x, mask=x[..., :1] > 0), IMAGE),
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
    ("AdaptiveAveragePooling1D", lambda: layers.AdaptiveAveragePooling1D(4), LINE),
    ("AdaptiveAveragePooling2D", lambda: layers.AdaptiveAveragePooling2D((3, 4)), IMAGE),
    ("AdaptiveAveragePooling3D", lambda: layers.AdaptiveAveragePooling3D(2), VOLUME),
    ("AdaptiveMaxPooling1D", lambda: layers.AdaptiveMaxPooling1D(4), LINE),
    ("AdaptiveMaxPooling2D", lambda: layers.AdaptiveMaxPooling2D((3, 4)), IMAGE),
    ("AdaptiveMaxPooling3D", lambda: layers.AdaptiveMaxPooling3D(2), VOLUME),
    ("Resizing", lambda: layers.Resizing(5, 6), IMAGE),
    ("CenterCrop", lambda: layers.CenterCrop(4, 4), IMAGE),
    ("RandomCrop", lambda: layers.RandomCrop(4, 4), IMAGE),
    ("RandomFlip", lambda: layers.RandomFlip(), IMAGE),
    ("RandomRotation", lambda: layers.RandomRotation(0.1), IMAGE),
    ("RandomTranslation", lambda: layers.RandomTranslation(0.1, 0.1), IMAGE),
    ("RandomZoom", lambda: layers.RandomZoom(0.1), IMAGE),
    ("RandomBrightness", lambda: layers.RandomBrightness(0.1), IMAGE),
    ("RandomContrast", lambda: layers.RandomContrast(0.1), IMAGE),
    ("Flatten", lambda: layers.Flatten(), IMAGE),
    ("Reshape", lambda: layers.Reshape((64, 6)), IMAGE),
    ("Reshape to one axis", lambda: layers.Reshape((-1,)), IMAGE),
    ("Permute", lambda: layers.Permute((2, 1, 3)), IMAGE),
    ("RepeatVector", lambda: layers.RepeatVector(3), VECTOR),
    ("Dropout of whole channels", lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, None)), IMAGE),
    ("CustomScaleLayer", lambda: lambda x: CustomScaleLayer(scale=0.3)([x, x]), IMAGE),
    ("EinsumDense", lambda: layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d", activation="relu"), LINE),
    ("EinsumDense with ellipsis", lambda: layers.EinsumDense("...x,xy->...y", 4, bias_axes="y"), IMAGE),
    ("EinsumDense into heads", lambda: layers.EinsumDense("abc,cde->abde", (None, 3, 4), bias_axes="de"), LINE),
    ("EinsumDense out of heads", lambda: out_of_heads, LINE),
    ("EinsumDense by channel", lambda: layers.EinsumDense("...bc,c->...bc", (8, 6), bias_axes="c"), LINE),
    ("EinsumDense over rows", lambda: layers.EinsumDense("abc,bd->adc", (5, 6), bias_axes="d"), LINE),
    ("EinsumDense with ellipsis behind", lambda: layers.EinsumDense("ab...,bc->ac...", 5, bias_axes="c"), IMAGE),
    ("MultiHeadAttention to itself", lambda: to_itself(layers.MultiHeadAttention(4, 3)), LINE),
    ("MultiHeadAttention, widths apart", lambda: widths_apart, LINE),
    ("MultiHeadAttention, causal", lambda: to_itself(layers.MultiHeadAttention(2, 4), use_causal_mask=True), LINE),
    ("MultiHeadAttention with a gate", lambda: crosswise(layers.MultiHeadAttention(2, 4, use_gate=True)), LINE),
    ("MultiHeadAttention, wide output", lambda: crosswise(layers.MultiHeadAttention(2, 3, output_shape=8)), LINE),
    ("MultiHeadAttention, no bias", lambda: to_itself(layers.MultiHeadAttention(2, 3, use_bias=False)), LINE),
    ("MultiHeadAttention of images", lambda: to_itself(layers.MultiHeadAttention(2, 3)), (3, 3, 6)),
    ("MultiHeadAttention along rows", lambda: to_itself(layers.MultiHeadAttention(2, 3, attention_axes=2)), (3, 3, 6)),
    ("MultiHeadAttention and scores", lambda: with_scores, LINE),
    ("MultiHeadAttention with a mask", lambda: masked, LINE),
    ("GroupQueryAttention", lambda: grouped, LINE),
    ("GroupQueryAttention with a gate", lambda: to_itself(layers.GroupQueryAttention(4, 6, 2, use_gate=True)), LINE),
    ("Attention", lambda: lambda x: layers.Attention(use_scale=True)([x, layers.Dense(6)(x)]), LINE),
    ("Attention with keys", lambda: lambda x: layers.Attention()([x, layers.Dense(4)(x), layers.Dense(6)(x)]), LINE),
    ("Attention to itself", lambda: lambda x: layers.Attention(score_mode="concat")([x, x]), LINE),
    ("AdditiveAttention", lambda: lambda x: layers.AdditiveAttention()([x, layers.Dense(6)(x)]), LINE),
    ("AdditiveAttention, no scale", lambda: lambda x: layers.AdditiveAttention(use_scale=False)([x, x]), LINE),
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
    *((function.__name__, lambda function=function: lambda x: function(ops.absolute(x) + 1.5), IMAGE)
      for function in OF_LARGE_NUMBERS),
    *((function.__name__, lambda function=function: lambda x: function(ops.tanh(x) * 0.9), IMAGE)
      for function in OF_SMALL_NUMBERS),
    *((function.__name__, lambda function=function: lambda x: function(ops.absolute(x), ops.absolute(x) + 0.3), IMAGE)
      for function in OF_TWO),
    *((function.__name__, lambda function=function: lambda x: x + ops.cast(function(x, ops.round(x)), "float32"), IMAGE)
      for function in WHETHER),
    ("floor_divide", lambda: lambda x: x + x // 0.5, IMAGE),
    ("threshold", lambda: lambda x: ops.threshold(x, 0.1, 0.0), IMAGE),
    ("logic", lambda: lambda x: x * ops.saturate_cast(ops.logical_xor(ops.logical_not(ops.logical_and(
        x > 0, ops.isfinite(x))), ops.logical_or(ops.isnan(x), ops.isinf(x))), "float32"), IMAGE),
    ("ones and zeros", lambda: lambda x: x * ops.ones_like(x) + ops.zeros_like(x), IMAGE),
]  # fmt: skip

FOLLOWED += [
    ("a constant for each channel", lambda: lambda x: x * np.arange(1.0, 7.0, dtype="float32"), IMAGE),
    ("a tensor for each channel", lambda: lambda x: x * ops.arange(1.0, 7.0), IMAGE),
    ("a constant for each position", lambda: lambda x: x * np.ones((8, 8, 1), "float32"), IMAGE),
    ("where", lambda: lambda x: ops.where(x > 0, x, np.arange(6.0, dtype="float32")), IMAGE),
    ("mean over positions", lambda: lambda x: x * ops.mean(x, axis=(1, 2), keepdims=True), IMAGE),
    ("mean over positions, axes gone", lambda: lambda x: x * ops.mean(x, axis=[1, 2])[:, None, None], IMAGE),
    ("mean over channels", lambda: lambda x: x * ops.mean(x, axis=-1, keepdims=True), IMAGE),
    ("variance over channels and positions", lambda: lambda x: ops.var(x, axis=(2, 3), keepdims=True) * x, IMAGE),
    ("standard deviation", lambda: lambda x: x + ops.std(x, axis=3, keepdims=True), IMAGE),
    ("maximum and minimum of channels", lambda: lambda x: ops.max(x, -1, True) - ops.min(x, -1, True), IMAGE),
    ("amax and amin", lambda: lambda x: ops.amax(x, axis=-1, keepdims=True) * ops.amin(x, (-1,), True), IMAGE),
    ("sum over channels", lambda: lambda x: ops.sum(x, axis=3)[..., None], IMAGE),
    ("maximum and minimum, bounded", lambda: lambda x: ops.concatenate(
        [x, ops.max(x, -1, True, initial=0.3), ops.min(x, -1, True, initial=-0.3)], axis=-1), IMAGE),
    ("product over channels", lambda: lambda x: ops.prod(x, axis=3, keepdims=True), IMAGE),
    ("logsumexp over channels", lambda: lambda x: ops.logsumexp(x, axis=-1, keepdims=True), IMAGE),
    # Keras 3.15 on JAX neither runs a norm along an axis that is no tuple, nor pools without strides, by operations.
    ("norm over channels", lambda: lambda x: x / (ops.norm(x, axis=(-1,), keepdims=True) + 1.0), IMAGE),
    ("normalize", lambda: lambda x: ops.normalize(x, axis=-1), IMAGE),
    ("softmax by an operation", lambda: lambda x: ops.softmax(x), IMAGE),
    ("log_softmax by an operation", lambda: lambda x: ops.log_softmax(x), IMAGE),
    ("glu by an operation", lambda: lambda x: ops.glu(x), IMAGE),
    ("spatial attention", lambda: lambda x: x * layers.Conv2D(1, 3, padding="same", activation="sigmoid")(
        ops.concatenate([ops.mean(x, -1, True), ops.max(x, -1, True)], axis=-1)), IMAGE),
    ("any and all over positions", lambda: lambda x: x * ops.cast(
        ops.logical_or(ops.all(x > 0, (1, 2), True), ops.any(x > 1, (1, 2), True)), "float32"), IMAGE),
    ("any and all over channels", lambda: lambda x: x * ops.cast(
        ops.logical_or(ops.all(x > 0, -1, True), ops.any(x > 1, -1, True)), "float32"), IMAGE),
    ("median and count of positions", lambda: lambda x: ops.median(x, (1, 2), True) * ops.cast(
        ops.count_nonzero(x > 0, axis=(1, 2))[:, None, None], "float32"), IMAGE),
    ("moments over positions", lambda: lambda x: x + ops.moments(x, axes=[1, 2], keepdims=True)[1], IMAGE),
    ("cumulative over positions", lambda: lambda x: ops.cumsum(ops.sort(ops.cumprod(x, 1), 1), 2), IMAGE),
    ("pooling by operations", lambda: lambda x: ops.max_pool(ops.average_pool(x, 2, 2), 2, 2), IMAGE),
    ("resize by an operation", lambda: lambda x: ops.image.resize(x, (4, 4)), IMAGE),
    ("depth to space and back", lambda: lambda x: ops.nn.space_to_depth(
        ops.nn.depth_to_space(layers.Dense(8)(x), 2), 2), IMAGE),
    ("space to depth", lambda: lambda x: ops.nn.space_to_depth(x, 2), IMAGE),
    ("transpose and back", lambda: lambda x: ops.transpose(ops.transpose(x, (0, 3, 1, 2)) * 2, (0, 2, 3, 1)), IMAGE),
    ("moveaxis and swapaxes", lambda: lambda x: ops.swapaxes(ops.moveaxis(x, -1, 1), 1, -1), IMAGE),
    ("flip and roll", lambda: lambda x: ops.roll(ops.flip(x, axis=[1, -1]), 1, axis=1), IMAGE),
    ("squeeze and expand", lambda: lambda x: ops.squeeze(ops.expand_dims(x, (1, -1)), axis=(1, -1)), IMAGE),
    ("squeeze of all", lambda: lambda x: ops.squeeze(x[:, None]), LINE),
    ("reshape by an operation", lambda: lambda x: ops.reshape(x, (-1, 16, 4, 6)), IMAGE),
    ("reshape into the batch", lambda: lambda x: ops.reshape(ops.reshape(x, (-1, 6)) * 2, (-1, 8, 8, 6)), IMAGE),
    ("shuffle by operations", lambda: lambda x: ops.reshape(ops.transpose(
        ops.reshape(x, (-1, 8, 8, 2, 3)), (0, 1, 2, 4, 3)), (-1, 8, 8, 6)), IMAGE),
    ("shuffle by take", lambda: lambda x: ops.take(x, [0, 2, 4, 1, 3, 5], axis=-1), IMAGE),
    ("take positions", lambda: lambda x: ops.take(ops.take(x, np.array([0, 2]), axis=1), 0, axis=1), IMAGE),
    ("broadcast_to", lambda: lambda x: x * ops.broadcast_to(x[:1, :1], (1, 8, 8, 6)), IMAGE),
    ("tile and repeat", lambda: lambda x: ops.repeat(ops.tile(x, (1, 2, 1, 2)), 2, axis=-1), IMAGE),
    ("pad", lambda: lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 2))), IMAGE),
    ("stack", lambda: lambda x: ops.stack([x, -x], axis=1), IMAGE),
    ("unstack", lambda: lambda x: ops.add(*ops.unstack(x[:, :2], axis=1)), IMAGE),
    ("split", lambda: lambda x: ops.concatenate(ops.split(x, 2, axis=-1)[::-1], axis=-1), IMAGE),
    ("split at places", lambda: lambda x: ops.concatenate(ops.split(x, [1, 4], axis=-1)[::-1], axis=-1), IMAGE),
    ("split of positions", lambda: lambda x: ops.add(*ops.split(x, 2, axis=1)), IMAGE),
    ("array_split", lambda: lambda x: ops.concatenate(ops.array_split(x, 4, axis=-1)[::-1], axis=-1), IMAGE),
    ("gate by a split", lambda: lambda x: ops.multiply(*ops.split(x, 2, axis=-1)), IMAGE),
    ("slices", lambda: lambda x: ops.concatenate([x[..., 2:], x[:, :, :, :2] * 2], axis=-1), IMAGE),
    ("slices that are empty", lambda: lambda x: ops.concatenate([x[..., 0:0], *ops.split(x, [0, 3], -1)], -1), IMAGE),
    ("slices from the end", lambda: lambda x: ops.concatenate([x[..., -2:], x[..., :-2] * 2], axis=-1), IMAGE),
    ("every second channel", lambda: lambda x: x[..., ::2] * x[..., 1::2], IMAGE),
    ("channels backwards", lambda: lambda x: x[:, ::2, 1, ::-1], IMAGE),
    ("one channel by number", lambda: lambda x: x * x[..., 1][..., None], IMAGE),
    ("matmul with a constant", lambda: lambda x: ops.matmul(x, np.ones((6, 4), "float32")), IMAGE),
    ("matmul with a tensor", lambda: lambda x: ops.matmul(x, ops.ones((6, 4))), IMAGE),
    ("dot with a constant", lambda: lambda x: ops.dot(x, np.ones((6, 4), "float32")), IMAGE),
    ("einsum with a constant", lambda: lambda x: ops.einsum("...c,cd->...d", x, np.ones((6, 4), "float32")), IMAGE),
    ("attention by matmul", lambda: lambda x: ops.matmul(
        ops.softmax(ops.matmul(layers.Dense(6)(x), ops.transpose(layers.Dense(6)(x), (0, 2, 1)))), x), LINE),
    ("attention by einsum", lambda: lambda x: ops.einsum(
        "bqk,bkc->bqc", ops.softmax(ops.einsum("bqc,bkc->bqk", x, layers.Dense(6)(x)), axis=-1), x), LINE),
    ("einsum of positions", lambda: lambda x: ops.einsum("bhwc,bhwc->bc", x, x), IMAGE),
    ("Multiply of other rank", lambda: lambda x: layers.Multiply()([x, layers.GlobalMaxPooling2D()(x)]), IMAGE),
    ("Dot", lambda: lambda x: layers.Dot(axes=(2, 2), normalize=True)([x, layers.Dense(6)(x)]), LINE),
    ("Dot over positions", lambda: lambda x: layers.Dot(axes=1)([layers.Dense(3)(x), x]), LINE),
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


def to_itself(layer: layers.Layer, **arguments: Any) -> Make:
    return lambda x: layer(x, x, **arguments)


def crosswise(layer: layers.Layer) -> Make:
    """Attention to values and keys of other widths than the query."""
    return lambda x: layer(layers.Dense(5)(x), layers.Dense(4)(x), key=x)


def widths_apart(x: Any) -> Any:
    """With scores, without which Keras calls fused attention, which on JAX takes only equal widths."""
    return layers.MultiHeadAttention(2, 4, value_dim=3)(layers.Dense(5)(x), x, return_attention_scores=True)[0]


def grouped(x: Any) -> Any:
    return layers.GroupQueryAttention(3, 4, 2)(x, layers.Dense(6)(x), key=layers.Dense(4)(x))


def with_scores(x: Any) -> Any:
    output, scores = layers.MultiHeadAttention(4, 3)(x, x, return_attention_scores=True)
    return layers.Concatenate()([output, layers.Dense(2)(layers.Permute((2, 3, 1))(scores))[:, 0]])


def masked(x: Any) -> Any:
    seen = ops.ones_like(x[:, :, :1]) > 0
    return layers.MultiHeadAttention(2, 3)(x, layers.Dense(4)(x), attention_mask=seen)


def out_of_heads(x: Any) -> Any:
    heads = layers.EinsumDense("abc,cde->abde", (None, 3, 4))(x)
    return layers.EinsumDense("abde,def->abf", (None, 5), bias_axes="f")(heads)


def over_channels(x: Any) -> Any:
    return layers.TimeDistributed(layers.Dense(2))(layers.Permute((2, 1))(x))


MERGES = [layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum]

LOCKED: list[tuple[str, Make, tuple[int, ...], str]] = [
    ("softmax of a layer's own", lambda: layers.DepthwiseConv2D(3, activation="softmax"), IMAGE, "several channels"),
    ("glu as an activation", lambda: layers.Activation("glu"), IMAGE, "several channels at once"),
    ("an unknown activation", lambda: layers.Activation(lambda x: x), IMAGE, "not known"),
    ("EinsumDense that adds up", lambda: layers.EinsumDense("abc,d->abd", (None, 2)), LINE, "adds up"),
    ("channels along the time axis", lambda: over_channels, LINE, "time axis"),
    ("wrapped unknown layer", lambda: layers.TimeDistributed(layers.Lambda(lambda x: x)), IMAGE, "no rule"),
    ("wrapped statistics", lambda: layers.TimeDistributed(layers.LayerNormalization()), IMAGE, "inside another layer"),
    ("Masking", lambda: layers.Masking(), LINE, "values of all its channels"),
    ("Lambda", lambda: layers.Lambda(lambda x: x), IMAGE, "no rule"),
    ("a variable of no layer", lambda: lambda x: x * keras.Variable(np.ones(6)), IMAGE, "no layer owns"),
    ("channels in a circle", lambda: lambda x: ops.roll(x, 1, axis=-1), IMAGE, "fixed number of places"),
    (
        "channels padded with each other",
        lambda: lambda x: ops.pad(x, ((0, 0),) * 3 + ((1, 1),), "reflect"),
        IMAGE,
        "pads channels",
    ),
    ("a median of channels", lambda: lambda x: ops.median(x, axis=-1, keepdims=True), IMAGE, "all channels at once"),
    ("channels in order of size", lambda: lambda x: ops.sort(x, axis=-1), IMAGE, "all channels at once"),
    ("channels one by one", lambda: lambda x: ops.add(*ops.unstack(x, axis=-1)[:2])[..., None], IMAGE, "each channel"),
    ("products of channels", lambda: lambda x: ops.matmul(ops.transpose(x, (0, 2, 1)), x), LINE, "two axes"),
    ("softmax over all axes", lambda: lambda x: ops.softmax(x, axis=None), LINE, "batch axis"),
    ("softmax over all axes by a layer", lambda: layers.Softmax(axis=None), LINE, "batch axis"),
    ("normalize over all axes", lambda: lambda x: ops.normalize(x, axis=None), LINE, "batch axis"),
    ("mean over all axes", lambda: lambda x: x * ops.mean(x), LINE, "batch axis"),
    ("channels and the batch", lambda: lambda x: ops.reshape(ops.transpose(x, (0, 2, 1)), (-1, 8)), LINE, "batch axis"),
    ("dropout with a noise shape", lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, 6)), IMAGE, "noise_shape"),
    (
        "a mask with an entry for each channel",
        lambda: lambda x: layers.Softmax(axis=1)(x, mask=ops.logical_and(x[..., -1:] > 0, np.ones((8, 6), "bool"))),
        LINE,
        "entry for each channel",
    ),
    ("rescaling by position", lambda: layers.Rescaling(np.ones((8, 6))), IMAGE, "several axes"),
]
