"""The Jacobian criterion: by hand, and against what a factor on a layer's weights does to each sample's loss."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring
from tests.pruning.models import blobs, residual


def importance(model: keras.Model, data: Any, name: str = "jacobian", **options: Any) -> dict[str, np.ndarray]:
    graph = ChannelGraph(model)
    scoring = Scoring(graph, name, 0, Calibration.of(model, data, num_samples=1000, seed=0, **options))
    return {group.name: scoring.importance(group) for group in graph.groups}


def test_by_hand() -> None:
    model = keras.Sequential([keras.Input((1,)), layers.Dense(2, name="d"), layers.Dense(1, use_bias=False)])
    for variable, value in zip(model.weights, ([[1.0, 2.0]], [0.5, 0.0], [[3.0], [-1.0]]), strict=True):
        variable.assign(np.array(value))
    model.compile("sgd", "mse")
    # Outputs: x = 1: 3 * 1.5 - 2 = 2.5; x = -1: 3 * -0.5 + 2 = 0.5. The loss's slope against target 0 is 5 and 1.
    # By channel, slope times hidden value times weight: 22.5 and -10; -1.5 and 2. Both layers do the same.
    found = importance(model, (np.array([[1.0], [-1.0]], "float32"), np.zeros((2, 1), "float32")))["d"]
    np.testing.assert_allclose(found, [22.5**2 + 1.5**2, 10**2 + 2**2], rtol=1e-5)


def _losses(model: keras.Model, data: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    probabilities = np.asarray(model.predict(data[0], verbose=0), dtype=np.float64)
    losses: np.ndarray = -np.log(probabilities[np.arange(len(data[1])), data[1]])
    return losses


MEMBERS = {
    "stem": [("stem", -1), ("stem_bn", -1), ("project", -1), ("expand", 2), ("head", 0)],
    "expand": [("expand", -1), ("expand_bn", -1), ("project", 2)],
}
"""Group → its layers, and the axis of the kernel on which the channels lie; on the last one, biases go with them."""


@pytest.mark.parametrize("group", list(MEMBERS))
def test_by_its_definition(group: str) -> None:
    model, data, step = residual(compiled=True), blobs(8), 2e-3
    head = model.get_layer("head").kernel
    head.assign(head * 0.05)  # Keras clips probabilities that are all but 0, and their slopes.
    found = importance(model, data)[group]
    for channel in range(3):
        expected = 0.0
        for name, axis in MEMBERS[group]:
            weights = model.get_layer(name).trainable_variables if axis == -1 else [model.get_layer(name).kernel]
            before = [np.array(keras.ops.convert_to_numpy(each)) for each in weights]
            losses = []
            for factor in (1 + step, 1 - step):
                for variable, value in zip(weights, before, strict=True):
                    scaled = np.moveaxis(value.copy(), axis, 0)
                    scaled[channel] *= factor
                    variable.assign(np.moveaxis(scaled, 0, axis))
                losses.append(_losses(model, data))
            for variable, value in zip(weights, before, strict=True):
                variable.assign(value)
            expected += np.mean(np.square((losses[0] - losses[1]) / (2 * step)))
        np.testing.assert_allclose(found[channel], expected, rtol=0.03, atol=1e-5)


def test_it_is_not_taylor_where_a_channel_is_read_in_several_places() -> None:
    model, data = residual(compiled=True), blobs(30)
    jacobian, taylor = importance(model, data), importance(model, data, "taylor")
    assert not np.array_equal(np.argsort(jacobian["stem"]), np.argsort(taylor["stem"]))


def test_neither_batch_size_nor_order_matters() -> None:
    model, (images, labels) = residual(compiled=True), blobs(30)
    whole = importance(model, (images, labels), batch_size=30)
    parts = importance(model, (images[::-1], labels[::-1]), batch_size=7)
    for name, found in whole.items():
        np.testing.assert_allclose(parts[name], found, rtol=1e-3)


def test_a_layer_that_makes_channels_inside_itself_is_named() -> None:
    model = keras.Sequential([keras.Input((3, 2)), layers.SimpleRNN(4, name="rnn"), layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(CriterionError, match="rnn"):
        importance(model, (np.ones((4, 3, 2), "float32"), np.ones((4, 2), "float32")))


def test_a_maker_that_cannot_be_seen_is_named() -> None:
    hidden = layers.TimeDistributed(layers.Dense(4, name="inner"), name="each")
    model = keras.Sequential([keras.Input((3, 2)), hidden, layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(CriterionError, match="are made inside"):
        importance(model, (np.ones((4, 3, 2), "float32"), np.ones((4, 3, 2), "float32")))
