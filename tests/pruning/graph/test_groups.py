"""Channel groups: what is coupled, what is locked and why."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from pruning.errors import ModelError
from pruning.graph.groups import ChannelGraph
from pruning.scoring.group_weights import filters
from tests.pruning.models import residual


def groups_of(model: keras.Model) -> dict[str, tuple[tuple[str, ...], int]]:
    return {group.name: (group.layers, group.num_channels) for group in ChannelGraph(model).groups}


def test_add_couples_both_its_inputs() -> None:
    assert groups_of(residual()) == {"stem": (("stem", "project"), 8), "expand": (("expand",), 16)}


def test_filters_of_all_coupled_layers_are_seen() -> None:
    model = residual()
    graph = ChannelGraph(model)
    seen = filters(graph, graph.groups[0])
    for name, rows in zip(("stem", "project"), seen, strict=True):
        kernel = keras.ops.convert_to_numpy(model.get_layer(name).kernel)
        np.testing.assert_array_equal(rows, kernel.reshape(-1, 8).T)


def test_output_layer_is_locked_as_an_output() -> None:
    assert ChannelGraph(residual()).locked["head"] == "head is an output of the model"


def test_unknown_layer_locks_what_it_touches() -> None:
    @keras.saving.register_keras_serializable("tests")
    class Mystery(layers.Layer):
        def call(self, inputs):  # type: ignore[no-untyped-def]
            return inputs

    inputs = keras.Input((4, 4, 1))
    hidden = layers.Conv2D(4, 1, name="before")(inputs)
    hidden = layers.Conv2D(4, 1, name="after")(Mystery(name="mystery")(hidden))
    graph = ChannelGraph(keras.Model(inputs, layers.Dense(1, name="head")(layers.Flatten()(hidden))))
    assert [group.name for group in graph.groups] == ["after"]
    assert "no rule" in graph.locked["before"]
    assert "Mystery" in graph.locked["mystery"]


def test_subclass_of_a_known_layer_is_locked() -> None:
    class Twisted(layers.Conv2D):
        pass

    inputs = keras.Input((4, 4, 1))
    hidden = layers.Conv2D(4, 1, name="after")(Twisted(4, 1, name="twisted")(inputs))
    graph = ChannelGraph(keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(hidden))))
    assert [group.name for group in graph.groups] == ["after"]
    assert "Twisted" in graph.locked["twisted"]


def test_channels_of_concatenated_branches_stay_apart() -> None:
    inputs = keras.Input((4, 4, 1))
    branches = [layers.Conv2D(3, 1, name=name)(inputs) for name in ("left", "right")]
    head = layers.Conv2D(2, 1)(layers.Concatenate()(branches))
    assert groups_of(keras.Model(inputs, head)) == {"left": (("left",), 3), "right": (("right",), 3)}


def test_layer_used_twice_keeps_one_set_of_channels() -> None:
    left, right = keras.Input((4, 4, 2)), keras.Input((4, 4, 2))
    shared = layers.Conv2D(3, 1, name="shared")
    stems = [layers.Conv2D(4, 1, name=name)(tensor) for name, tensor in (("a", left), ("b", right))]
    head = layers.Conv2D(1, 1)(layers.Concatenate()([shared(stem) for stem in stems]))
    groups = {frozenset(made_by): size for made_by, size in groups_of(keras.Model([left, right], head)).values()}
    assert groups == {frozenset({"a", "b"}): 4, frozenset({"shared"}): 3}


def test_grouped_convolution_keeps_its_conv_groups_equal() -> None:
    inputs = keras.Input((4, 4, 2))
    hidden = layers.Conv2D(6, 1, name="stem")(inputs)
    hidden = layers.Conv2D(4, 1, groups=2, name="grouped")(hidden)
    model = keras.Model(inputs, layers.Conv2D(1, 1)(hidden))
    assert groups_of(model) == {"stem": (("stem",), 3), "grouped": (("grouped",), 2)}


def test_layers_in_a_nested_model_are_found_by_path() -> None:
    inner_inputs = keras.Input((4, 4, 3))
    inner = keras.Model(inner_inputs, layers.Conv2D(5, 1, name="conv")(inner_inputs), name="inner")
    inputs = keras.Input((4, 4, 1))
    hidden = inner(layers.Conv2D(3, 1, name="stem")(inputs))
    model = keras.Model(inputs, layers.Conv2D(1, 1)(hidden))
    assert groups_of(model) == {"stem": (("stem",), 3), "inner/conv": (("inner/conv",), 5)}


def test_hidden_softmax_locks_its_channels() -> None:
    inputs = keras.Input((4,))
    hidden = layers.Dense(3, activation="softmax", name="gate")(inputs)
    graph = ChannelGraph(keras.Model(inputs, layers.Dense(1)(hidden)))
    assert not graph.groups
    assert "softmax" in graph.locked["gate"]


def test_subclassed_model_is_refused_with_the_way_out() -> None:
    class Subclassed(keras.Model):
        def call(self, inputs):  # type: ignore[no-untyped-def]
            return inputs

    with pytest.raises(ModelError, match="as_functional"):
        ChannelGraph(Subclassed())


def test_unbuilt_sequential_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelError, match=r"keras\.Input"):
        ChannelGraph(keras.Sequential([layers.Dense(2)]))


@pytest.mark.parametrize("merge", [layers.Add, layers.Concatenate])
def test_a_constant_in_a_merge_locks_its_channels(merge: type[layers.Layer]) -> None:
    inputs = keras.Input((6, 6, 3))
    hidden = layers.Conv2D(4, 3, name="stem")(inputs)
    graph = ChannelGraph(keras.Model(inputs, layers.Conv2D(5, 3)(merge()([hidden, np.ones((1, 4, 4, 4), "float32")]))))
    assert not graph.groups
    assert "constant" in graph.locked["stem"]


def test_activation_layers_count_as_activations() -> None:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, activation=layers.LeakyReLU()), layers.Dense(3)])
    assert len(ChannelGraph(model).groups) == 1
