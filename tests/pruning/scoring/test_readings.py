"""Importance by how well the kernels that read a channel can make up for it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy import linalg

from pruning.criteria.base import Reading
from pruning.criteria.reconstruction import ReconstructionCost
from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring


def reading(seed: int, num_channels: int = 5, each: int = 3, num_outputs: int = 4) -> tuple[Reading, np.ndarray]:
    """A kernel on inputs that go together, and these inputs."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(200, num_channels * each)) @ random.normal(size=(num_channels * each,) * 2)
    inputs = mixed - mixed.mean(axis=0)
    weights = random.normal(size=(num_channels * each, num_outputs))
    # As in a convolution: the channels of one tap lie side by side.
    rows = np.arange(num_channels * each).reshape(each, num_channels).T
    return Reading((inputs.T @ inputs)[np.newaxis], weights[np.newaxis], rows), inputs


def error_without(reading: Reading, inputs: np.ndarray, gone: list[int]) -> float:
    """Return what the best kernel on the other channels misses, over the sum of squares of the outputs."""
    left = np.setdiff1d(np.arange(inputs.shape[1]), reading.rows[gone])
    wanted = inputs @ reading.weights[0]
    solved = np.linalg.lstsq(inputs[:, left], wanted, rcond=None)[0]
    return float(np.square(wanted - inputs[:, left] @ solved).sum() / np.square(wanted).sum())


def test_the_order_and_the_costs_are_those_of_solving_anew_without_each_channel() -> None:
    (first, first_inputs), (second, second_inputs) = reading(0), reading(1)
    criterion = ReconstructionCost()
    criterion.ridge = 1e-12
    importance = criterion.measure([first, second])

    def error(gone: list[int]) -> float:
        return error_without(first, first_inputs, gone) + error_without(second, second_inputs, gone)

    gone: list[int] = []
    least = 0.0
    while len(gone) < 4:
        errors = {each: error([*gone, each]) - (error(gone) if gone else 0) for each in range(5) if each not in gone}
        cheapest = min(errors, key=errors.__getitem__)
        least = max(least, errors[cheapest])
        assert cheapest == np.argsort(importance)[len(gone)]
        assert importance[cheapest] == pytest.approx(least, rel=1e-4)
        gone.append(cheapest)
    assert len(np.unique(importance)) == 5


def test_blocks_count_like_one_kernel_with_zeros_between_them() -> None:
    (first, _), (second, _) = reading(0), reading(1)
    blocks = Reading(
        np.concatenate([first.products, second.products]), np.concatenate([first.weights, second.weights]), first.rows
    )
    whole = Reading(
        linalg.block_diag(first.products[0], second.products[0])[np.newaxis],
        linalg.block_diag(first.weights[0], second.weights[0])[np.newaxis],
        np.concatenate([first.rows, second.rows + first.rows.size], axis=1),
    )
    criterion = ReconstructionCost()
    criterion.ridge = 1e-12
    assert criterion.measure([blocks]) == pytest.approx(criterion.measure([whole]), rel=1e-5)


def test_what_never_varies_is_not_missed_and_still_ranked() -> None:
    still = Reading(np.zeros((1, 3, 3)), np.ones((1, 3, 2)), np.arange(3)[:, np.newaxis])
    assert list(np.argsort(ReconstructionCost().measure([still]))) == [0, 1, 2]


def network(*, reads: bool = True) -> keras.Model:
    """Channels 1 and 4 of the first layer can be had of others; a grouped layer, a shared one and two readers."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="made")(inputs)
    if reads:
        shared = layers.Conv2D(6, 3, padding="same", activation="relu", name="reader")
        x = layers.Concatenate()([shared(x), layers.Conv2D(4, 1, name="other")(x)])
    else:
        x = layers.SimpleRNN(4, name="reader")(layers.Reshape((64, 6))(x))
        return keras.Model(inputs, layers.Dense(3)(x))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def importance(model: keras.Model, name: str) -> np.ndarray:
    images = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)
    graph = ChannelGraph(model)
    calibration = Calibration.of(model, (images, np.zeros(40, dtype=np.int64)), num_samples=40, seed=0)
    (group,) = (group for group in graph.groups if group.name == name)
    return Scoring(graph, "reconstruction", 0, calibration).importance(group)


def test_copies_go_first() -> None:
    model = network()
    kernel, bias = (np.array(each) for each in model.get_layer("made").get_weights())
    for copy, source in ((1, 0), (4, 3)):
        kernel[..., copy], bias[copy] = 2 * kernel[..., source], 2 * bias[source]
    model.get_layer("made").set_weights([kernel, bias])
    scores = importance(model, "made")
    pairs = [{0, 1}, {3, 4}]
    assert all(len(pair & set(np.argsort(scores)[:2].tolist())) == 1 for pair in pairs)
    assert np.sort(scores)[1] < 1e-3 < np.sort(scores)[2]


def test_a_channel_that_no_kernel_multiplies_goes_first() -> None:
    model = network()
    for name in ("reader", "other"):
        kernel, bias = (np.array(each) for each in model.get_layer(name).get_weights())
        kernel[:, :, 2] = 0
        model.get_layer(name).set_weights([kernel, bias])
    scores = importance(model, "made")
    assert np.argmin(scores) == 2
    assert scores[2] < 1e-9 < np.sort(scores)[1]


def test_channels_that_something_else_reads_are_refused() -> None:
    with pytest.raises(CriterionError, match="not summed up by layer 'reader'"):
        importance(network(reads=False), "made")
