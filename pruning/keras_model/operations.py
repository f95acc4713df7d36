"""Classes of Keras without a public name: operations, bases of families of layers, some layers of applications."""

from __future__ import annotations

from keras.src.applications.convnext import LayerScale as LayerScale
from keras.src.applications.convnext import StochasticDepth as StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer as CustomScaleLayer
from keras.src.layers.convolutional.base_conv import BaseConv as BaseConv
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose as BaseConvTranspose
from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv as BaseDepthwiseConv
from keras.src.layers.convolutional.base_separable_conv import BaseSeparableConv as BaseSeparableConv
from keras.src.layers.rnn.conv_lstm import ConvLSTM as ConvLSTM
from keras.src.layers.rnn.conv_lstm import ConvLSTMCell as ConvLSTMCell
from keras.src.ops import core as core
from keras.src.ops import image as image
from keras.src.ops import linalg as linalg
from keras.src.ops import math as sums
from keras.src.ops import nn as nn
from keras.src.ops import numpy as arrays

__all__ = ["CustomScaleLayer", "LayerScale", "StochasticDepth", "arrays", "core", "image", "linalg", "nn", "sums"]
