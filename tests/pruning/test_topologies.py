"""Networks in the shapes that people bring, small: half the channels of each at random, verified, saved, reloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers, ops

from pruning import PruningSpec, apply_plan, load_model, make_plan, verify
from tests.pruning.models import same
from tests.strategies import randomise

IMAGE = (16, 16, 3)
Build = Callable[[], keras.Model]
TOPOLOGIES: list[Build] = []


def topology(build: Build) -> Build:
    """Add a network to those that are tested."""
    TOPOLOGIES.append(build)
    return build


def conv(tensor: Any, width: int, size: int = 3, strides: int = 1, activation: Any = "relu") -> Any:
    """Convolution, BatchNormalization, activation."""
    tensor = layers.Conv2D(width, size, strides, padding="same", use_bias=False)(tensor)
    return layers.Activation(activation)(layers.BatchNormalization()(tensor))


@topology
def teachable_machine() -> keras.Model:
    """A headless MobileNet in a Sequential, beside a head that is another one."""
    inputs = keras.Input(IMAGE)
    stem = hidden = conv(inputs, 8, strides=2, activation="relu6")
    hidden = conv(hidden, 24, 1, activation="relu6")
    hidden = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(hidden)))
    hidden = layers.BatchNormalization()(layers.Conv2D(8, 1)(hidden))
    backbone = keras.Model(inputs, conv(layers.Add()([stem, hidden]), 16, 1), name="backbone")
    features = keras.Sequential([backbone, layers.GlobalAveragePooling2D()], name="features")
    head = keras.Sequential([layers.Dense(10, activation="relu"), layers.Dense(3, activation="softmax")], name="head")
    return keras.Sequential([keras.Input(IMAGE), features, head])


@topology
def pose_unet() -> keras.Model:
    """An encoder and a decoder with skips, heatmaps and offsets as outputs."""
    inputs = keras.Input(IMAGE)
    first = conv(inputs, 8)
    second = conv(layers.MaxPooling2D()(first), 16)
    deep = conv(layers.MaxPooling2D()(second), 24)
    up = layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(deep), second])
    up = layers.Conv2DTranspose(8, 2, 2)(conv(up, 16))
    up = conv(layers.Concatenate()([up, first]), 8)
    heatmaps = layers.Conv2D(5, 1, activation="sigmoid", name="heatmaps")(up)
    return keras.Model(inputs, {"heatmaps": heatmaps, "offsets": layers.Conv2D(10, 1, name="offsets")(up)})


@topology
def board_game() -> keras.Model:
    """A residual tower with a head for the move and one for the value."""
    inputs = keras.Input((7, 7, 4))
    hidden = conv(inputs, 12)
    for _ in range(2):
        shortcut = hidden
        hidden = layers.BatchNormalization()(layers.Conv2D(12, 3, padding="same")(conv(hidden, 12)))
        hidden = layers.ReLU()(layers.Add()([shortcut, hidden]))
    policy = layers.Dense(49, activation="softmax", name="policy")(layers.Flatten()(conv(hidden, 4, 1)))
    value = layers.Dense(16, activation="relu")(layers.Flatten()(conv(hidden, 2, 1)))
    return keras.Model(inputs, [policy, layers.Dense(1, activation="tanh", name="value")(value)])


@topology
def fire_modules() -> keras.Model:
    """SqueezeNet: a narrow layer, then two wider ones side by side."""
    inputs = keras.Input(IMAGE)
    hidden = layers.Conv2D(8, 3, 2, activation="relu")(inputs)
    for width in (4, 6):
        squeezed = layers.Conv2D(width, 1, activation="relu")(hidden)
        wide = [layers.Conv2D(2 * width, size, padding="same", activation="relu")(squeezed) for size in (1, 3)]
        hidden = layers.Concatenate()(wide)
    hidden = layers.Conv2D(5, 1)(layers.Dropout(0.5)(hidden))
    return keras.Model(inputs, layers.Softmax()(layers.GlobalAveragePooling2D()(hidden)))


@topology
def separable_residuals() -> keras.Model:
    """Xception: separable convolutions between a projected shortcut and an Add."""
    inputs = keras.Input(IMAGE)
    hidden = conv(inputs, 8)
    for width in (12, 16):
        shortcut = layers.BatchNormalization()(layers.Conv2D(width, 1, 2)(hidden))
        for _ in range(2):
            hidden = layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(layers.ReLU()(hidden))
            hidden = layers.BatchNormalization()(hidden)
        hidden = layers.Add()([layers.MaxPooling2D(3, 2, padding="same")(hidden), shortcut])
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(hidden)))


@topology
def single_shot_detector() -> keras.Model:
    """Boxes and classes at two scales, joined over all anchors."""
    inputs = keras.Input(IMAGE)
    fine = conv(conv(inputs, 8, strides=2), 12)
    scales = [fine, conv(conv(fine, 8, 1), 16, strides=2)]
    boxes = [layers.Reshape((-1, 4))(layers.Conv2D(3 * 4, 3, padding="same")(scale)) for scale in scales]
    classes = [layers.Reshape((-1, 5))(layers.Conv2D(3 * 5, 3, padding="same")(scale)) for scale in scales]
    scores = layers.Softmax()(layers.Concatenate(axis=1)(classes))
    return keras.Model(inputs, [layers.Concatenate(axis=1, name="boxes")(boxes), scores])


@topology
def yolo() -> keras.Model:
    """A neck that brings deep features back up, one output a scale."""
    inputs = keras.Input(IMAGE)
    leaky = layers.LeakyReLU
    fine = conv(conv(inputs, 8, strides=2, activation=leaky(0.1)), 16, activation=leaky(0.1))
    coarse = conv(fine, 24, strides=2, activation=leaky(0.1))
    pooled = [layers.MaxPooling2D(size, 1, padding="same")(coarse) for size in (3, 5)]
    coarse = conv(layers.Concatenate()([coarse, *pooled]), 16, 1, activation=leaky(0.1))
    up = layers.UpSampling2D()(conv(coarse, 8, 1, activation=leaky(0.1)))
    fine = conv(layers.Concatenate()([up, fine]), 12, activation=leaky(0.1))
    heads = [layers.Conv2D(3 * 7, 1)(scale) for scale in (coarse, fine)]
    return keras.Model(inputs, [layers.Reshape((*head.shape[1:3], 3, 7))(head) for head in heads])


@topology
def face_detector() -> keras.Model:
    """MTCNN: PReLU with a slope a channel, or a position, and three outputs."""
    inputs = keras.Input(IMAGE)
    hidden = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(10, 3)(inputs))
    hidden = layers.MaxPooling2D(padding="same")(hidden)
    hidden = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(16, 3)(hidden))
    hidden = layers.PReLU()(layers.Dense(16)(layers.Flatten()(layers.Permute((3, 2, 1))(hidden))))
    return keras.Model(inputs, [layers.Dense(2, activation="softmax")(hidden), *map_dense(hidden, 4, 10)])


def map_dense(tensor: Any, *widths: int) -> list[Any]:
    return [layers.Dense(width)(tensor) for width in widths]


@topology
def video() -> keras.Model:
    """A convolutional network at every moment, then an LSTM."""
    inputs = keras.Input((4, 8, 8, 3))
    hidden = layers.TimeDistributed(layers.Conv2D(8, 3, activation="relu"))(inputs)
    hidden = layers.TimeDistributed(layers.BatchNormalization())(hidden)
    hidden = layers.TimeDistributed(layers.Conv2D(12, 3, activation="relu"))(hidden)
    hidden = layers.TimeDistributed(layers.Flatten())(layers.TimeDistributed(layers.MaxPooling2D())(hidden))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.LSTM(12)(hidden)))


@topology
def eegnet() -> keras.Model:
    """Temporal filters, spatial ones with a depth multiplier and max-norm constraints, then separable ones."""
    inputs = keras.Input((6, 32, 1))
    hidden = layers.BatchNormalization()(layers.Conv2D(8, (1, 16), padding="same", use_bias=False)(inputs))
    spatial = layers.DepthwiseConv2D(
        (6, 1), use_bias=False, depth_multiplier=2, depthwise_constraint=keras.constraints.MaxNorm(1.0)
    )
    hidden = layers.Activation("elu")(layers.BatchNormalization()(spatial(hidden)))
    hidden = layers.SpatialDropout2D(0.5)(layers.AveragePooling2D((1, 4))(hidden))
    hidden = layers.SeparableConv2D(16, (1, 4), padding="same", use_bias=False)(hidden)
    hidden = layers.Activation("elu")(layers.BatchNormalization()(hidden))
    hidden = layers.Flatten()(layers.AveragePooling2D((1, 4))(hidden))
    head = layers.Dense(4, kernel_constraint=keras.constraints.MaxNorm(0.25), activation="softmax")
    return keras.Model(inputs, head(hidden))


@topology
def permute_around_a_nested_network() -> keras.Model:
    """Channels-first data for a channels-last network inside."""
    inner_inputs = keras.Input((8, 8, 3))
    inner = keras.Model(inner_inputs, conv(conv(inner_inputs, 12), 8), name="inner")
    inputs = keras.Input((3, 8, 8))
    hidden = layers.Permute((3, 1, 2))(inner(layers.Permute((2, 3, 1))(inputs)))
    hidden = layers.Dense(10, activation="relu")(layers.Flatten()(hidden))
    return keras.Model(inputs, layers.Dense(2)(hidden))


@topology
def style_transfer() -> keras.Model:
    """Instance normalisation, residual blocks, upsampling, an image at the end."""

    def instance_normalised(tensor: Any, width: int, strides: int = 1) -> Any:
        tensor = layers.Conv2D(width, 3, strides, padding="same")(tensor)
        return layers.GroupNormalization(groups=-1)(tensor)

    inputs = keras.Input(IMAGE)
    hidden = layers.ReLU()(instance_normalised(inputs, 8))
    hidden = layers.ReLU()(instance_normalised(hidden, 16, 2))
    block = instance_normalised(layers.ReLU()(instance_normalised(hidden, 16)), 16)
    hidden = layers.UpSampling2D()(layers.Add()([hidden, block]))
    hidden = layers.ReLU()(instance_normalised(hidden, 8))
    return keras.Model(
        inputs, layers.Rescaling(127.5, 127.5)(layers.Conv2D(3, 3, padding="same", activation="tanh")(hidden))
    )


@topology
def super_resolution() -> keras.Model:
    """Pixels are shuffled out of channels, and the small image is added back."""
    inputs = keras.Input((8, 8, 3))
    first = hidden = layers.Conv2D(12, 3, padding="same")(inputs)
    block = layers.Conv2D(16, 3, padding="same", activation="relu")(hidden)
    hidden = layers.Add()([first, layers.Rescaling(0.1)(layers.Conv2D(12, 3, padding="same")(block))])
    hidden = layers.Conv2D(12, 3, padding="same")(layers.Conv2D(12, 3, padding="same", activation="relu")(hidden))
    hidden = layers.Permute((1, 3, 2, 4, 5))(layers.Reshape((8, 8, 2, 2, 3))(hidden))
    shuffled = layers.Reshape((16, 16, 3))(hidden)
    return keras.Model(inputs, layers.Add()([shuffled, layers.UpSampling2D()(inputs)]))


@topology
def generator() -> keras.Model:
    """From noise to an image."""
    return keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(4 * 4 * 16, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Reshape((4, 4, 16)),
            layers.Conv2DTranspose(12, 5, 2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(8, 5, 2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(3, 5, padding="same", activation="tanh"),
        ]
    )


@topology
def discriminator() -> keras.Model:
    """From an image to true or false."""
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Conv2D(8, 5, 2, padding="same"),
            layers.LeakyReLU(0.2),
            layers.Dropout(0.3),
            layers.SpectralNormalization(layers.Conv2D(16, 5, 2, padding="same")),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


@topology
def variational_autoencoder() -> keras.Model:
    """A nested encoder, a sample by operations on its outputs and given noise, a nested decoder."""
    images, noise = keras.Input((8, 8, 1)), keras.Input((6,), name="noise")
    hidden = layers.Flatten()(conv(conv(images, 8, strides=2), 12, strides=2))
    hidden = layers.Dense(16, activation="relu")(hidden)
    encoder = keras.Model(images, [layers.Dense(6)(hidden), layers.Dense(6)(hidden)], name="encoder")
    latent = keras.Input((6,))
    hidden = layers.Reshape((2, 2, 12))(layers.Dense(2 * 2 * 12, activation="relu")(latent))
    hidden = layers.Conv2DTranspose(8, 3, 2, padding="same", activation="relu")(hidden)
    hidden = layers.Conv2DTranspose(1, 3, 2, padding="same", activation="sigmoid")(hidden)
    decoder = keras.Model(latent, hidden, name="decoder")
    mean, log_variance = encoder(images)
    sample = mean + ops.exp(0.5 * log_variance) * noise
    return keras.Model([images, noise], [decoder(sample), mean, log_variance])


@topology
def audio() -> keras.Model:
    """Dilated causal convolutions over a wave, gated, with skips."""
    inputs = keras.Input((64, 1))
    hidden = layers.Conv1D(12, 4, 2, padding="causal")(inputs)
    for dilation in (1, 2):
        tanh, gate = (
            layers.Conv1D(12, 2, padding="causal", dilation_rate=dilation, activation=activation)(hidden)
            for activation in ("tanh", "sigmoid")
        )
        gated = layers.Multiply()([tanh, gate])
        hidden = layers.Add()([hidden, layers.BatchNormalization()(layers.Conv1D(12, 1)(gated))])
    hidden = layers.MaxPooling1D(4)(layers.SeparableConv1D(16, 3, activation="relu")(hidden))
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalMaxPooling1D()(hidden)))


@topology
def volumes() -> keras.Model:
    """A three-dimensional encoder and decoder."""
    inputs = keras.Input((8, 8, 8, 1))
    first = layers.BatchNormalization()(layers.Conv3D(6, 3, padding="same", activation="relu")(inputs))
    deep = layers.Conv3D(12, 3, padding="same", activation="relu")(layers.MaxPooling3D()(first))
    up = layers.Conv3DTranspose(6, 2, 2)(deep)
    hidden = layers.Conv3D(6, 3, padding="same", activation="relu")(layers.Concatenate()([up, first]))
    return keras.Model(inputs, layers.Conv3D(2, 1, activation="softmax")(hidden))


@topology
def siamese() -> keras.Model:
    """One network looks at both images."""
    image = keras.Input(IMAGE)
    hidden = layers.MaxPooling2D()(conv(image, 8))
    hidden = layers.GlobalAveragePooling2D()(conv(hidden, 16))
    embed = keras.Model(image, layers.Dense(12)(layers.Dense(16, activation="relu")(hidden)), name="embed")
    left, right = keras.Input(IMAGE), keras.Input(IMAGE)
    distance = ops.absolute(embed(left) - embed(right))
    return keras.Model([left, right], layers.Dense(1, activation="sigmoid")(distance))


@pytest.mark.parametrize("build", TOPOLOGIES, ids=lambda build: build.__name__)
def test_half_of_its_channels_can_go(build: Build, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = build()
    randomise(model, seed=1)
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5))
    pruned = apply_plan(model, plan)
    assert pruned.count_params() < 0.6 * model.count_params()
    assert verify(model, pruned, plan).passed

    pruned.save(tmp_path / "pruned.keras")
    reloaded = load_model(tmp_path / "pruned.keras")
    assert same(pruned.get_weights(), reloaded.get_weights())
    assert verify(model, reloaded, plan).passed
