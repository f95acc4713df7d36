"""The weights of a group as criteria see them: all that goes with a channel, and filters as inference has them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, apply_plan, make_plan
from pruning.graph.groups import ChannelGraph
from pruning.scoring.group_weights import coupled, normalisations_behind
from pruning.scoring.importance import Scoring
from tests.pruning.models import residual
from tests.strategies import randomise


def scores(model: keras.Model, criterion: str) -> dict[str, np.ndarray]:
    graph = ChannelGraph(model)
    scoring = Scoring(graph, criterion, seed=0)
    return {group.name: scoring.importance(group) for group in graph.groups}


def array(variable: object) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float64)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return residual()


def test_coupled_weights_make_scale_and_read_the_channels(model: keras.Model) -> None:
    kernels = {name: array(model.get_layer(name).kernel) for name in ("stem", "expand", "project", "head")}
    gammas = {name: array(model.get_layer(name).gamma) for name in ("stem_bn", "expand_bn")}
    found = scores(model, "coupled_norm")
    made = sum(np.square(kernels[name]).sum(axis=(0, 1, 2)) for name in ("stem", "project"))
    read = np.square(kernels["expand"]).sum(axis=(0, 1, 3)) + np.square(kernels["head"]).sum(axis=1)
    np.testing.assert_allclose(found["stem"], made + read + gammas["stem_bn"] ** 2, rtol=1e-5)
    inner = np.square(kernels["expand"]).sum(axis=(0, 1, 2)) + np.square(kernels["project"]).sum(axis=(0, 1, 3))
    np.testing.assert_allclose(found["expand"], inner + gammas["expand_bn"] ** 2, rtol=1e-5)


def test_a_channel_that_was_flattened_is_read_at_every_place() -> None:
    inputs = keras.Input((2, 2, 1))
    hidden = layers.Flatten()(layers.Conv2D(2, 1, use_bias=False, name="c")(inputs))
    model = keras.Model(inputs, layers.Dense(1, name="d")(hidden))
    model.get_layer("c").kernel.assign(np.array([[[[2.0, 3.0]]]]))
    model.get_layer("d").kernel.assign(np.array([[1.0], [0], [0], [10], [1], [0], [1], [0]]))
    np.testing.assert_allclose(scores(model, "coupled_norm")["c"], [4 + 3, 9 + 100])


def test_a_recurrent_kernel_makes_and_reads_its_units() -> None:
    model = keras.Sequential([keras.Input((3, 1)), layers.SimpleRNN(2, name="r"), layers.Dense(1, name="d")])
    model.get_layer("r").cell.kernel.assign(np.array([[1.0, 2.0]]))
    model.get_layer("r").cell.recurrent_kernel.assign(np.array([[0.0, 3.0], [4.0, 0.0]]))
    model.get_layer("d").kernel.assign(np.array([[5.0], [6.0]]))
    (found,) = scores(model, "coupled_norm").values()
    np.testing.assert_allclose(found, [1 + 16 + 9 + 25, 4 + 9 + 16 + 36])


def test_coupled_weights_are_those_that_surgery_takes_away(model: keras.Model) -> None:
    """Their number, with those that are treated one by one, is what the parameters fall by."""
    graph = ChannelGraph(model)
    group = graph.groups[0]
    features = sum(part.shape[1] for part in coupled(graph, group))
    biases = sum(graph.rows(axis, group).shape[1] for axis in graph.axes("through", group))
    plan = make_plan(model, PruningSpec(criterion="coupled_norm", include=["stem"], max_ratio=0.2, ratio=0.2))
    assert plan.params_before - apply_plan(model, plan).count_params() == features + biases


def test_a_folded_norm_is_that_of_what_the_layer_and_its_normalisation_do_to_one_pixel() -> None:
    inputs = keras.Input((5, 5, 3))
    made = layers.Conv2D(4, 3, padding="same", use_bias=False, name="c")(inputs)
    hidden = layers.BatchNormalization(name="b")(made)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.ReLU()(hidden))))
    randomise(model, seed=2)
    pixels = np.zeros((4, 5, 5, 3), "float32")
    pixels[[1, 2, 3], 2, 2, [0, 1, 2]] = 1.0
    nothing, *responses = np.asarray(keras.Model(inputs, hidden).predict(pixels, verbose=0), dtype=np.float64)
    squares = sum(np.square(response - nothing).sum(axis=(0, 1)) for response in responses)
    np.testing.assert_allclose(scores(model, "folded_norm")["c"], np.sqrt(squares), rtol=1e-4)


def test_a_normalisation_is_folded_only_where_it_stands_directly_and_alone_behind() -> None:
    inputs = keras.Input((4,))
    alone = layers.Dense(3, name="alone")
    shown = layers.Dense(3, name="shown")(inputs)
    through = layers.ReLU()(layers.Dense(3, name="through")(inputs))
    active = layers.Dense(3, activation="relu", name="active")(inputs)
    twice = layers.Dense(3, name="twice")
    normalised = [layers.BatchNormalization(name=f"b{i}")(each) for i, each in enumerate([alone(inputs), shown])]
    normalised += [layers.BatchNormalization()(each) for each in (through, active, twice(inputs), twice(inputs))]
    model = keras.Model(inputs, [layers.Dense(1)(each) for each in [*normalised, shown]])
    behind = normalisations_behind(ChannelGraph(model))
    found = {layer.name: behind[id(layer)].name for layer in model.layers if layer.weights and id(layer) in behind}
    assert found == {"alone": "b0"}


def test_a_normalisation_without_a_factor_still_divides_by_the_deviation() -> None:
    hidden = layers.BatchNormalization(scale=False, epsilon=0.0, name="b")
    model = keras.Sequential([keras.Input((1,)), layers.Dense(2, name="d"), hidden, layers.Dense(1)])
    model.get_layer("d").kernel.assign(np.array([[6.0, 6.0]]))
    hidden.moving_variance.assign(np.array([4.0, 9.0]))
    np.testing.assert_allclose(scores(model, "folded_norm")["d"], [3, 2], rtol=1e-6)
