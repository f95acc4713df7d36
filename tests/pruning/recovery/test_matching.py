"""Pruned networks that are trained towards the original's outputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning.graph.groups import ChannelGraph
from pruning.recovery.matching import match
from pruning.spec import Augmentation
from pruning.surgery.cutting import prune_channels
from tests.pruning.models import same, values


def network(last: Any, batch_size: int | None = None) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3), batch_size=batch_size, name="image")
    x = layers.Conv2D(8, 3, use_bias=False)(inputs)
    x = layers.Dropout(0.5)(layers.ReLU()(layers.BatchNormalization(name="norm")(x)))
    x = layers.Conv2D(8, 3, activation="relu", name="frozen")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, [layers.Dense(3, activation=last)(x), layers.Dense(2, name="second")(x)])


@pytest.mark.parametrize(("last", "batch_size"), [("softmax", None), ("linear", None), ("sigmoid", 7)])
def test_outputs_come_nearer_to_the_originals(last: str, batch_size: int | None) -> None:
    model = network(last, batch_size)
    graph = ChannelGraph(model)
    stays = graph.stays({group.name: np.arange(group.num_channels)[1::2] for group in graph.groups})
    small = prune_channels(graph, stays)
    small.model.get_layer("frozen").trainable = False
    before, cut = [each.copy() for each in values(model)], [each.copy() for each in values(small.model)]
    statistics = [np.array(each) for each in small.model.get_layer("norm").get_weights()[2:]]
    frozen = small.model.get_layer("frozen").get_weights()
    images = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)
    done = match(graph, small, {"image": images}, num_epochs=8, batch_size=10, learning_rate=0.01)
    assert len(done.losses) == 8
    assert done.losses[-1] < 0.8 * done.losses[0]
    assert same(before, values(model))
    assert same(statistics, small.model.get_layer("norm").get_weights()[2:])
    assert same(frozen, small.model.get_layer("frozen").get_weights())
    assert not same(cut, values(small.model))


@pytest.mark.parametrize("augmentation", [None, Augmentation(horizontal_flip=True, crop=1)])
def test_the_whole_network_has_nothing_to_learn(augmentation: Augmentation | None) -> None:
    graph = ChannelGraph(network("softmax"))
    small = prune_channels(graph, graph.stays({}))
    images = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)
    assert match(graph, small, {"image": images}, num_epochs=1, augmentation=augmentation).losses[0] < 1e-6
