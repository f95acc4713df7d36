"""The oracle: whatever the model and whatever the plan, the pruned model equals the masked original."""

from __future__ import annotations

import os

import keras
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pruning import apply_plan, verify
from pruning.counting.costs import Costs
from pruning.graph.groups import ChannelGraph
from tests.strategies import models, plans

# Keras draws seeds for initial weights, which the strategy overwrites.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

NUM_EXAMPLES = int(os.environ.get("RIDURRE_EXAMPLES", "200"))


@settings(max_examples=NUM_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_pruned_model_equals_masked_original(data: st.DataObject) -> None:
    model = data.draw(models())
    plan = data.draw(plans(model))
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]

    small = apply_plan(model, plan)

    proof = verify(model, small, plan)
    assert proof.passed, proof
    assert small.count_params() == plan.params_after
    again = ChannelGraph(small)
    assert Costs(again).macs(again.widths) == plan.macs_after
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    after = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    assert all((old == new).all() for old, new in zip(before, after, strict=True)), "the model was changed"
