"""The only code that knows layer types: one row for each layer that can be followed.

Lookup is by exact class. A subclass may compute something else, so it is locked like any unknown
layer; nothing is guessed.
"""

from __future__ import annotations

from keras import layers
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer
from keras.src.ops import nn
from keras.src.ops import numpy as arrays

from pruning.rules.activation import activation, dropout, elementwise, prelu, rescaling, softmax
from pruning.rules.context import Rule
from pruning.rules.convolution import (
    convolution,
    depthwise_convolution,
    separable_convolution,
    transposed_convolution,
)
from pruning.rules.dense import dense
from pruning.rules.merge import merge
from pruning.rules.normalization import batch_normalization
from pruning.rules.operations import arithmetic, entrywise
from pruning.rules.shape import concatenate, flatten, permute, repeat_vector, reshape
from pruning.rules.spatial import global_pooling, spatial_window

RULES: dict[type, Rule] = {
    layers.Conv1D: convolution,
    layers.Conv2D: convolution,
    layers.Conv3D: convolution,
    layers.Conv1DTranspose: transposed_convolution,
    layers.Conv2DTranspose: transposed_convolution,
    layers.Conv3DTranspose: transposed_convolution,
    layers.DepthwiseConv1D: depthwise_convolution,
    layers.DepthwiseConv2D: depthwise_convolution,
    layers.SeparableConv1D: separable_convolution,
    layers.SeparableConv2D: separable_convolution,
    layers.Dense: dense,
    layers.BatchNormalization: batch_normalization,
    layers.Activation: activation,
    layers.ELU: elementwise,
    layers.LeakyReLU: elementwise,
    layers.PReLU: prelu,
    layers.ReLU: elementwise,
    layers.Softmax: softmax,
    layers.Identity: elementwise,
    layers.ActivityRegularization: elementwise,
    layers.Rescaling: rescaling,
    layers.Dropout: dropout,
    layers.AlphaDropout: dropout,
    layers.GaussianDropout: elementwise,
    layers.GaussianNoise: elementwise,
    layers.SpatialDropout1D: elementwise,
    layers.SpatialDropout2D: elementwise,
    layers.SpatialDropout3D: elementwise,
    layers.AveragePooling1D: spatial_window,
    layers.AveragePooling2D: spatial_window,
    layers.AveragePooling3D: spatial_window,
    layers.MaxPooling1D: spatial_window,
    layers.MaxPooling2D: spatial_window,
    layers.MaxPooling3D: spatial_window,
    layers.GlobalAveragePooling1D: global_pooling,
    layers.GlobalAveragePooling2D: global_pooling,
    layers.GlobalAveragePooling3D: global_pooling,
    layers.GlobalMaxPooling1D: global_pooling,
    layers.GlobalMaxPooling2D: global_pooling,
    layers.GlobalMaxPooling3D: global_pooling,
    layers.ZeroPadding1D: spatial_window,
    layers.ZeroPadding2D: spatial_window,
    layers.ZeroPadding3D: spatial_window,
    layers.Cropping1D: spatial_window,
    layers.Cropping2D: spatial_window,
    layers.Cropping3D: spatial_window,
    layers.UpSampling1D: spatial_window,
    layers.UpSampling2D: spatial_window,
    layers.UpSampling3D: spatial_window,
    layers.Flatten: flatten,
    layers.Reshape: reshape,
    layers.Permute: permute,
    layers.RepeatVector: repeat_vector,
    layers.Concatenate: concatenate,
    layers.Add: merge,
    layers.Subtract: merge,
    layers.Multiply: merge,
    layers.Average: merge,
    layers.Maximum: merge,
    layers.Minimum: merge,
    CustomScaleLayer: merge,
    arrays.Add: arithmetic,
    arrays.Subtract: arithmetic,
    arrays.Multiply: arithmetic,
    arrays.Divide: arithmetic,
    arrays.TrueDivide: arithmetic,
    arrays.Maximum: arithmetic,
    arrays.Minimum: arithmetic,
    arrays.Absolute: entrywise,
    arrays.Clip: entrywise,
    arrays.Cos: entrywise,
    arrays.Exp: entrywise,
    arrays.Log: entrywise,
    arrays.Negative: entrywise,
    arrays.Round: entrywise,
    arrays.Sign: entrywise,
    arrays.Sin: entrywise,
    arrays.Sqrt: entrywise,
    arrays.Square: entrywise,
    arrays.Tanh: entrywise,
    nn.Celu: entrywise,
    nn.Elu: entrywise,
    nn.Gelu: entrywise,
    nn.HardShrink: entrywise,
    nn.HardSigmoid: entrywise,
    nn.HardSilu: entrywise,
    nn.HardTanh: entrywise,
    nn.LeakyRelu: entrywise,
    nn.LogSigmoid: entrywise,
    nn.Relu: entrywise,
    nn.Relu6: entrywise,
    nn.Selu: entrywise,
    nn.Sigmoid: entrywise,
    nn.Silu: entrywise,
    nn.SoftShrink: entrywise,
    nn.Softplus: entrywise,
    nn.Softsign: entrywise,
    nn.SparsePlus: entrywise,
    nn.Squareplus: entrywise,
    nn.TanhShrink: entrywise,
}
