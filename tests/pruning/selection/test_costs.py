"""Counting from group widths, without masks and without models."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from pruning.graph.groups import ChannelGraph
from pruning.selection.costs import Costs
from tests.strategies import models, plans

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_widths_cost_what_the_labels_say(data: st.DataObject) -> None:
    model = data.draw(models())
    graph = ChannelGraph(model)
    plan = data.draw(plans(model))
    stays = graph.stays({group.name: np.asarray(group.keep) for group in plan.groups})
    costs = Costs(graph)
    widths = np.array([costs.widths, [len(group.keep) for group in plan.groups]], dtype=np.int64)
    assert costs.params(widths).tolist() == [plan.params_before, sum(graph.params(stays).values())]
    assert costs.macs(widths).tolist() == [plan.macs_before, sum(count or 0 for count in graph.macs(stays).values())]


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
