"""What is said of a model before anything is removed."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from pruning import InfeasibleError, PruningSpec, explain, make_plan
from pruning.explanation import Explanation
from tests.pruning.models import residual


def test_coupled_layers_name_each_other() -> None:
    explanation = explain(residual())
    rows = {layer.path: layer for layer in explanation.layers}
    assert rows["stem"].coupled_to == ("project",)
    assert (rows["stem"].groups, rows["stem_bn"].groups, rows["expand"].reads) == (("stem",), ("stem",), ("stem",))
    assert [rows[path].prunable for path in ("stem", "stem_bn", "expand", "head")] == [True, True, True, False]
    assert rows["head"].locked == "head is an output of the model"
    assert rows["expand"].macs == 64 * 9 * 8 * 16
    first = explanation.groups[0]
    assert (first.made_by, first.scaled_by, first.read_by) == (("stem", "project"), ("stem_bn",), ("expand", "head"))
    assert 0.9 < explanation.prunable_share <= 1


def test_sizes_are_those_of_the_model_and_of_the_smallest_that_a_plan_reaches() -> None:
    model = residual(classes=40)
    told = explain(model)
    assert told.original.params == sum(layer.params for layer in told.layers)
    assert told.original.macs == sum(layer.macs or 0 for layer in told.layers)
    for field in ("params", "macs"):
        least, most = getattr(told.smallest, field), getattr(told.original, field)
        plan = make_plan(model, PruningSpec.model_validate({f"target_{field}": least}))
        assert getattr(plan, f"{field}_after") == least < most
        with pytest.raises(InfeasibleError):
            make_plan(model, PruningSpec.model_validate({f"target_{field}": least - 1}))


def test_it_can_be_printed_and_written() -> None:
    explanation = explain(residual())
    text = str(explanation)
    lines = {line.split()[0]: " ".join(line.split()) for line in text.splitlines()}
    assert lines["layer"] == "layer kind channels params MACs"
    assert lines["stem"] == f"stem Conv2D 8 {3 * 9 * 8 + 8} {64 * 9 * 3 * 8:,} coupled to project"
    assert lines["head"].endswith("locked: head is an output of the model")
    assert str(explanation.smallest) in lines["Smallest"]
    assert Explanation.model_validate_json(explanation.model_dump_json()) == explanation


def test_a_layer_without_weights_that_locks_others_is_there() -> None:
    inputs = keras.Input((4, 4, 1))
    hidden = layers.Conv2D(3, 1, name="before")(inputs)
    hidden = layers.Lambda(lambda image: image[..., ::-1], output_shape=(4, 4, 3), name="flip")(hidden)
    rows = {layer.path: layer for layer in explain(keras.Model(inputs, layers.Conv2D(2, 1)(hidden))).layers}
    assert "Lambda" in str(rows["flip"].locked)
    assert not rows["before"].prunable
    assert "flip" in str(rows["before"].locked)
