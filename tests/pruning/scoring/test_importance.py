"""Scoring: a criterion applied to the groups of a model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, make_plan
from pruning.criteria import DataCriterion, ScoreCriterion, resolve_criterion
from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph
from pruning.scoring.importance import Scoring
from tests.pruning.models import residual


@pytest.fixture(scope="module")
def graph() -> ChannelGraph:
    return ChannelGraph(residual())


def test_importance_covers_all_coupled_layers(graph: ChannelGraph) -> None:
    stem, project = (np.asarray(graph.model.get_layer(name).kernel) for name in ("stem", "project"))
    importance = Scoring(graph, "l1_norm", seed=0).importance(graph.groups[0])
    expected = np.abs(stem).sum(axis=(0, 1, 2)) + np.abs(project).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(importance, expected, rtol=1e-6)


def test_those_of_highest_importance_stay(graph: ChannelGraph) -> None:
    scoring = Scoring(graph, "l1_norm", seed=0)
    for group in graph.groups:
        order = np.argsort(-scoring.importance(group))
        assert scoring.keep(group, 3).tolist() == sorted(order[:3].tolist())


def test_a_criterion_that_chooses_sets_has_no_importance(graph: ChannelGraph) -> None:
    scoring = Scoring(graph, "kmeans", seed=0)
    with pytest.raises(CriterionError, match="KMeansFilters has no importance for each channel"):
        scoring.importance(graph.groups[0])
    assert len(scoring.keep(graph.groups[0], 3)) == 3


def test_one_that_raises_is_named(graph: ChannelGraph) -> None:
    with pytest.raises(CriterionError, match="ZeroDivisionError"):
        Scoring(graph, lambda weights: 1 / 0, seed=0).importance(graph.groups[0])


def test_a_bias_is_no_part_of_a_filter() -> None:
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, bias_initializer="ones"), layers.Dense(1)])
    model.layers[0].kernel.assign(np.zeros((2, 3)))
    graph = ChannelGraph(model)
    assert Scoring(graph, "l1_norm", seed=0).importance(graph.groups[0]).tolist() == [0, 0, 0]


def test_a_scale_is_the_gamma_of_every_normalisation_of_the_group(graph: ChannelGraph) -> None:
    gamma = np.asarray(graph.model.get_layer("stem_bn").gamma)
    importance = Scoring(graph, "batchnorm_scale", seed=0).importance(graph.groups[0])
    np.testing.assert_allclose(importance, np.abs(gamma), rtol=1e-6)


def test_a_normalisation_without_scale_does_not_count() -> None:
    inputs = keras.Input((4, 4, 1))
    hidden = layers.BatchNormalization(scale=False)(layers.Conv2D(2, 3, name="c")(inputs))
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(hidden)))
    graph = ChannelGraph(model)
    with pytest.raises(CriterionError, match=r"no normalization with a gamma .* scales the channels: c\."):
        Scoring(graph, "batchnorm_scale", seed=0).require_suited(graph.groups)


@pytest.mark.parametrize("observes", ["activations", "gradients", "members", "losses"])
@pytest.mark.parametrize("keeps", ["channels", "samples", "one for each sample"])
def test_a_measure_has_a_figure_for_each_sample_and_channel(observes: str, keeps: str) -> None:
    def measure(self: DataCriterion, observed: Any) -> Any:
        figures = keras.ops.reshape(observed, (16, -1, observed.shape[-1]))[:, 0]
        if keeps == "channels":
            return keras.ops.mean(figures, axis=0)
        return keras.ops.mean(figures, axis=1, keepdims=keeps != "samples")

    wrong = type("Wrong", (DataCriterion,), {"observes": observes, "measure": measure})
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse")
    x, y = np.ones((16, 4, 4, 1), "float32"), np.ones((16, 2), "float32")
    with pytest.raises(CriterionError, match=r"shape \(samples, 4\)"):
        make_plan(model, PruningSpec(criterion=wrong, ratio=0.5), (x, y))


@pytest.mark.parametrize(
    ("attributes", "base"),
    [
        ({"__init__": lambda self, factor: None, "score": lambda self, channels: channels.weights}, ScoreCriterion),
        ({}, ScoreCriterion),
        ({"measure": lambda self, observed: observed}, DataCriterion),
        ({"measure": lambda self, observed: observed, "observes": "weather"}, DataCriterion),
    ],
    ids=["an argument", "abstract", "no observes", "wrong observes"],
)
def test_a_class_that_cannot_be_a_criterion_is_told(attributes: dict[str, Any], base: type) -> None:
    with pytest.raises(CriterionError, match="The criterion Unusable"):
        resolve_criterion(type("Unusable", (base,), attributes))
