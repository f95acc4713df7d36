"""Counting from group widths, without masks and without models."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from pruning import apply_plan
from pruning.counting.costs import Costs
from pruning.graph.groups import ChannelGraph
from tests.pruning.models import residual
from tests.strategies import models, plans

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_widths_cost_what_the_smaller_model_costs(data: st.DataObject) -> None:
    model = data.draw(models())
    graph = ChannelGraph(model)
    plan = data.draw(plans(model))
    small = ChannelGraph(apply_plan(model, plan))
    costs, costs_small = Costs(graph), Costs(small)
    widths = np.array([graph.widths, [len(group.keep) for group in plan.groups]], dtype=np.int64)
    assert costs.params(widths).tolist() == [model.count_params(), small.model.count_params()]
    assert costs.macs(widths).tolist() == [costs.macs(graph.widths), costs_small.macs(small.widths)]
    assert costs.params_by_layer(widths[1]) == costs_small.params_by_layer(small.widths)
    assert costs.macs_by_layer(widths[1]) == costs_small.macs_by_layer(small.widths)
    for by_layer, in_all in ((costs.params_by_layer, costs.params), (costs.macs_by_layer, costs.macs)):
        assert sum(count or 0 for count in by_layer(widths[1]).values()) == in_all(widths[1])


def test_weight_bytes_are_those_of_all_variables() -> None:
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)), layers.Conv2D(6, 3, dtype="float16"), layers.BatchNormalization(),
            layers.Dropout(0.5), layers.GlobalAveragePooling2D(), layers.Dense(2),
        ]
    )  # fmt: skip
    graph = ChannelGraph(model)
    costs = Costs(graph)
    expected = sum(np.asarray(variable).nbytes for variable in model.variables)
    assert costs.weight_bytes(costs.widths) == expected


def test_a_layer_whose_outputs_are_not_known_in_number_is_named() -> None:
    inputs = keras.Input((None, None, 1))
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="open")(inputs))
    costs = Costs(ChannelGraph(keras.Model(inputs, layers.Dense(2)(hidden))))
    assert costs.uncounted == "open"


def test_params_are_those_that_keras_counts() -> None:
    model = residual()
    graph = ChannelGraph(model)
    by_layer = Costs(graph).params_by_layer(graph.widths)
    assert by_layer == {layer.name: layer.count_params() for layer in model.layers if layer.weights}


def test_macs_by_hand() -> None:
    graph = ChannelGraph(residual())
    macs = Costs(graph).macs_by_layer(graph.widths_with({"expand": np.arange(4)}))
    assert macs == {"stem": 64 * 27 * 8, "expand": 64 * 72 * 4, "project": 64 * 36 * 8, "head": 8 * 4}
