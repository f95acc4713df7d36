"""Classes of Keras without a public name: its operations, and some layers of its applications."""

from __future__ import annotations

from keras.src.applications.convnext import LayerScale as LayerScale
from keras.src.applications.convnext import StochasticDepth as StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer as CustomScaleLayer
from keras.src.ops import core as core
from keras.src.ops import image as image
from keras.src.ops import linalg as linalg
from keras.src.ops import math as sums
from keras.src.ops import nn as nn
from keras.src.ops import numpy as arrays

__all__ = ["CustomScaleLayer", "LayerScale", "StochasticDepth", "arrays", "core", "image", "linalg", "nn", "sums"]
