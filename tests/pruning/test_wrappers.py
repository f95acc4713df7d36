"""Layers that hold other layers, through surgery, files and training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.counting.costs import Costs
from pruning.graph.groups import ChannelGraph
from pruning.training.freezing import frozen
from tests.pruning.models import same
from tests.strategies import randomise

HALF = PruningSpec(criterion="random", ratio=0.5)


def video() -> keras.Model:
    """A convolutional network on each frame, two recurrent layers over the frames."""
    frame = keras.Sequential(
        [
            layers.SpectralNormalization(layers.Conv2D(6, 3, activation="relu", name="conv"), name="spectral"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
        ],
        name="frame",
    )
    inputs = keras.Input((4, 8, 8, 3))
    hidden = layers.TimeDistributed(frame, name="frames")(inputs)
    hidden = layers.TimeDistributed(layers.Dense(8, kernel_regularizer="l2", name="wide"), name="wides")(hidden)
    hidden = layers.Bidirectional(
        layers.LSTM(6, return_sequences=True, recurrent_dropout=0.1, name="lstm"), name="both"
    )(hidden)
    hidden = layers.RNN(
        layers.StackedRNNCells([layers.GRUCell(6, name="first"), layers.LSTMCell(4, name="second")], name="cells"),
        name="stack",
    )(hidden)
    model = keras.Model(inputs, layers.Dense(2, name="head")(hidden))
    randomise(model, seed=6)
    return model


@pytest.fixture(scope="module")
def pruned() -> tuple[keras.Model, Any, keras.Model]:
    model = video()
    plan = make_plan(model, HALF)
    return model, plan, apply_plan(model, plan)


def test_wrapped_layers_are_layers_of_their_own(pruned: tuple[keras.Model, Any, keras.Model]) -> None:
    model, plan, small = pruned
    assert {group.name: (group.num_channels, len(group.keep)) for group in plan.groups} == {
        "frames/frame/spectral/conv": (6, 3),
        "wides/wide": (8, 4),
        "both/forward_lstm": (6, 3),
        "stack/cells/first": (6, 3),
        "stack/cells/second": (4, 2),
    }
    assert verify(model, small, plan).passed
    assert plan.params_before == model.count_params()
    assert plan.params_after == small.count_params()


def test_names_and_settings_are_kept(pruned: tuple[keras.Model, Any, keras.Model]) -> None:
    model, _, small = pruned
    before, after = ([layer.name for layer in each._flatten_layers()] for each in (model, small))
    assert before == after
    assert [variable.name for variable in model.variables] == [variable.name for variable in small.variables]
    assert small.get_layer("wides").layer.kernel_regularizer is not None
    assert small.get_layer("both").backward_layer.go_backwards


def test_saved_and_loaded_bit_for_bit(pruned: tuple[keras.Model, Any, keras.Model], tmp_path: Path) -> None:
    model, plan, small = pruned
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    # Keras writes the weights, but not where the random numbers of a cell's dropout stand.
    assert same(small.get_weights(), loaded.get_weights())
    assert verify(model, loaded, plan).passed


def test_multiplications_count_every_step() -> None:
    inputs = keras.Input((5, 8, 8, 3))
    hidden = layers.TimeDistributed(layers.Conv2D(4, 1, name="conv"), name="each")(inputs)
    hidden = layers.TimeDistributed(layers.GlobalAveragePooling2D())(hidden)
    hidden = layers.RNN(layers.SimpleRNNCell(3, name="cell"), name="rnn")(hidden)
    graph = ChannelGraph(keras.Model(inputs, layers.Dense(2, name="head")(layers.Dense(2)(hidden))))
    macs = Costs(graph).macs_by_layer(graph.widths)
    assert macs["each/conv"] == 5 * 64 * 3 * 4
    assert macs["rnn/cell"] == 5 * (4 * 3 + 3 * 3)


def test_cells_of_one_name_are_counted_apart() -> None:
    inputs = keras.Input((5, 3))
    cells = layers.StackedRNNCells([layers.LSTMCell(6, name="cell"), layers.LSTMCell(4, name="cell")], name="cells")
    model = keras.Model(inputs, layers.Dense(2)(layers.RNN(cells, name="rnn")(inputs)))
    plan = make_plan(model, HALF)
    assert plan.params_before == model.count_params()
    assert plan.params_after == apply_plan(model, plan).count_params()
    assert [group.name for group in plan.groups] == ["rnn/cells/cell", "rnn/cells/cell_1"]


def test_a_layer_shared_through_a_wrapper_is_one_layer() -> None:
    shared = layers.Dense(8, name="shared")
    first, second = keras.Input((6,)), keras.Input((4, 6))
    pooled = layers.GlobalAveragePooling1D()(layers.TimeDistributed(shared)(second))
    model = keras.Model([first, second], [layers.Dense(3)(shared(first)), layers.Dense(3)(pooled)])
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    assert verify(model, small, plan).passed
    assert small.count_params() == plan.params_after < model.count_params()


def test_flags_of_wrapped_layers_are_kept() -> None:
    model = video()
    model.get_layer("wides").layer.trainable = False
    model.get_layer("both").forward_layer.trainable = False
    small = apply_plan(model, make_plan(model, HALF))
    assert not small.get_layer("wides").layer.trainable
    assert small.get_layer("wides").trainable
    assert not small.get_layer("both").forward_layer.trainable
    assert len(small.trainable_weights) == len(model.trainable_weights)


def test_momenta_of_wrapped_layers_are_cut_with_them() -> None:
    model = video()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", run_eagerly=True)
    model.fit(np.ones((2, 4, 8, 8, 3), "float32"), np.ones((2, 2), "float32"), epochs=1, verbose=0)
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    kept = {group.name: list(group.keep) for group in plan.groups}["wides/wide"]
    momenta = []
    for each in (model, small):
        bias = each.get_layer("wides").layer.bias
        (position,) = [index for index, other in enumerate(each.trainable_variables) if other is bias]
        momenta.append(keras.ops.convert_to_numpy(each.optimizer.momentums[position]))
    assert np.any(momenta[0])
    np.testing.assert_array_equal(momenta[0][kept], momenta[1])


def test_wrapped_layers_are_frozen_by_their_paths() -> None:
    model = video()
    with frozen(model, ["frames/frame/spectral/conv", "both/forward_.*"]):
        frames = model.get_layer("frames").layer
        assert not frames.get_layer("spectral").layer.trainable
        assert not model.get_layer("both").forward_layer.trainable
        assert model.get_layer("both").backward_layer.trainable
    assert frames.get_layer("spectral").layer.trainable


def test_the_states_of_a_stateful_layer_are_cut_too() -> None:
    model = keras.Sequential(
        [keras.Input(batch_shape=(2, 5, 6)), layers.LSTM(4, stateful=True, name="lstm"), layers.Dense(3)]
    )
    randomise(model, seed=7)
    model(np.ones((2, 5, 6), "float32"))
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    assert verify(model, small, plan).passed
    expected = np.asarray(model.get_layer("lstm").states[1])[:, list(plan.groups[0].keep)]
    np.testing.assert_array_equal(np.asarray(small.get_layer("lstm").states[1]), expected)


def test_a_cell_without_a_rule_stays_whole() -> None:
    class Mine(layers.Layer):
        state_size = output_size = 4

        def build(self, shape):  # type: ignore[no-untyped-def]
            self.kernel = self.add_weight(shape=(shape[-1], 4))

        def call(self, inputs, states):  # type: ignore[no-untyped-def]
            output = keras.ops.matmul(inputs, self.kernel) + states[0]
            return output, [output]

    inputs = keras.Input((5, 3))
    hidden = layers.RNN(Mine(name="mine"), name="rnn")(layers.Dense(6, name="stem")(inputs))
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(8, name="after")(hidden)))
    plan = make_plan(model, HALF)
    assert [group.name for group in plan.groups] == ["after"]
    assert "no rule" in ChannelGraph(model).locked["rnn/mine"]
    assert verify(model, apply_plan(model, plan), plan).passed


def test_channels_first_is_planned_alike() -> None:
    """No CPU kernel runs channels-first convolutions, but the plan does not run anything."""

    def model(data_format: str) -> keras.Model:
        inputs = keras.Input((4, 3, 8, 8) if data_format == "channels_first" else (4, 8, 8, 3))
        hidden = layers.ConvLSTM2D(6, 3, return_sequences=True, name="first", data_format=data_format)(inputs)
        hidden = layers.TimeDistributed(layers.Conv2D(4, 3, name="conv", data_format=data_format), name="each")(hidden)
        hidden = layers.ConvLSTM2D(4, 3, name="last", data_format=data_format)(hidden)
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten(data_format=data_format)(hidden)))

    first, last = (make_plan(model(data_format), HALF) for data_format in ("channels_first", "channels_last"))
    assert [group.name for group in first.groups] == ["first", "each/conv", "last"]
    assert [group.keep for group in first.groups] == [group.keep for group in last.groups]
    assert (first.params_after, first.macs_after) == (last.params_after, last.macs_after)
