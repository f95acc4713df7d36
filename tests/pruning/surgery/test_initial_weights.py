"""Weights drawn anew."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from pruning.surgery.initial_weights import draw_weights
from tests.pruning.models import blobs, same, values


def trained() -> keras.Model:
    """Return a model in which everything has left its initial values."""
    keras.utils.set_random_seed(7)
    images, labels = blobs(64)
    normalization = layers.Normalization(name="normalize")
    normalization.adapt(images)
    inner = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(4, 3), layers.BatchNormalization()], name="inner")
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv")(normalization(inputs))
    x = layers.BatchNormalization(momentum=0.5, name="norm")(x)
    x = layers.Dropout(0.5, name="drop")(inner(x))
    x = layers.Dense(4, activation="softmax", name="head")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    model.get_layer("norm").gamma.assign(np.full(4, 3.0))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=16, verbose=0)
    return model


def test_weights_are_drawn_anew_by_seed() -> None:
    models = [trained(), trained(), trained()]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        draw_weights(model, seed)
    assert same(values(models[0]), values(models[1]))
    for name in ("conv", "head"):
        kernels = [np.asarray(model.get_layer(name).kernel) for model in models]
        assert not np.allclose(kernels[0], kernels[2])


def test_kernels_forget_what_they_learned_and_normalization_layers_do_not() -> None:
    model = trained()
    kernel = np.array(model.get_layer("conv").kernel)
    adapted = [np.array(each) for each in model.get_layer("normalize").variables]
    draw_weights(model, 1)
    drawn = np.asarray(model.get_layer("conv").kernel)
    limit = np.sqrt(6 / (3 * 9 + 4 * 9))
    assert abs(np.corrcoef(kernel.ravel(), drawn.ravel())[0, 1]) < 0.5
    assert np.abs(drawn).max() <= limit
    assert same(adapted, [np.asarray(each) for each in model.get_layer("normalize").variables])
    assert not np.allclose(np.asarray(model.get_layer("normalize").mean), 0)


def test_batch_normalization_begins_anew_nested_too() -> None:
    model = trained()
    draw_weights(model, 1)
    for norm in (model.get_layer("norm"), model.get_layer("inner").layers[-1]):
        found = [np.asarray(each) for each in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)]
        for value, initial in zip(found, (1, 0, 0, 1), strict=True):
            assert np.array_equal(value, np.full(4, initial))
