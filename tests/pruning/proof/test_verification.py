"""The proof catches wrong prunes. The first test is the seed's own bug."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

import pruning.graph.groups
import pruning.proof.reference
import pruning.proof.verification
from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.errors import VerificationError
from pruning.graph.groups import ChannelGraph
from pruning.proof.random_inputs import relative_difference
from pruning.rules.records import WeightAxis
from pruning.surgery.rebuild import Change, Edit, Rebuilt, rebuild
from tests.pruning.models import residual
from tests.strategies import randomise

HALF = PruningSpec(criterion="random", ratio=0.5, seed=3)


of_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras needs TensorFlow for tensors of words, and to adapt bins"
)


def test_both_inputs_of_an_add_lose_the_same_channels() -> None:
    """Pruned one by one, the two inputs of an Add would lose different channels and add misaligned ones."""
    model = residual()
    plan = make_plan(model, PruningSpec(criterion="l1_norm", ratio=0.5))
    small = apply_plan(model, plan)
    kept = {}
    for name in ("stem", "project"):
        bias, whole = np.asarray(small.get_layer(name).bias), np.asarray(model.get_layer(name).bias)
        kept[name] = [int(np.flatnonzero(whole == value)[0]) for value in bias]
    assert kept["stem"] == kept["project"]
    assert verify(model, small, plan).passed


def test_without_ties_an_add_is_pruned_wrong_and_the_proof_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model = residual()
    couple = pruning.graph.groups._couple

    def without_ties(records):  # type: ignore[no-untyped-def]
        records.ties = [tie for tie in records.ties if tie[2] != "add"]
        return couple(records)

    plan = make_plan(model, PruningSpec(criterion="l1_norm", ratio=0.5))
    small = apply_plan(model, plan)
    monkeypatch.setattr(pruning.graph.groups, "_couple", without_ties)
    untied_plan = make_plan(model, PruningSpec(criterion="l1_norm", ratio=0.5))
    wrong = apply_plan(model, untied_plan)
    assert [group.name for group in untied_plan.groups] == ["stem", "expand", "project"]
    monkeypatch.undo()

    assert verify(model, small, plan).passed
    proof = verify(model, wrong, plan)
    assert not proof.passed
    with pytest.raises(VerificationError, match="does not compute"):
        proof.require()


def _shift(axis: WeightAxis, value: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.compress(np.roll(kept, 1), value, axis=axis.axis)


def _first(axis: WeightAxis, value: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.take(value, np.arange(np.count_nonzero(kept)), axis=axis.axis)


def _reversed(axis: WeightAxis, value: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.take(value, np.flatnonzero(kept)[::-1], axis=axis.axis)


@pytest.mark.parametrize("wrong_cut", [_shift, _first, _reversed])
@pytest.mark.parametrize(
    ("layer", "role"),
    [("stem", "out"), ("stem_bn", "through"), ("expand", "in"), ("expand", "out"), ("project", "in"), ("head", "in")],
)
def test_wrong_slices_are_caught(
    monkeypatch: pytest.MonkeyPatch, layer: str, role: str, wrong_cut: Callable[..., np.ndarray]
) -> None:
    model = residual()
    plan = make_plan(model, HALF)

    def cut(graph: ChannelGraph, stays: np.ndarray) -> keras.Model:
        def change(original, array_values):  # type: ignore[no-untyped-def]
            for axis in graph.axes_of(original):
                kept = stays[axis.labels]
                if kept.all():
                    continue
                wrong = original.name == layer and axis.role == role
                value = array_values[axis.variable_index]
                array_values[axis.variable_index] = (
                    wrong_cut(axis, value, kept) if wrong else np.compress(kept, value, axis=axis.axis)
                )
            return array_values

        return rebuild(graph.model, lambda original, config: _resize(graph, stays, original, config), change).model

    graph = ChannelGraph(model)
    wrong = cut(graph, graph.stays({group.name: np.asarray(group.keep) for group in plan.groups}))
    assert not verify(model, wrong, plan).passed


def _resize(graph: ChannelGraph, stays: np.ndarray, layer, config):  # type: ignore[no-untyped-def]
    for width in graph.records.widths.values():
        if width.layer is layer:
            config[width.key] = int(np.count_nonzero(stays[width.labels]))
    return config


def test_relative_difference_by_hand() -> None:
    assert relative_difference(np.array([[2.0, -4.0]]), np.array([[2.0, -3.0]])) == 0.25
    assert relative_difference(np.zeros((1, 2)), np.zeros((1, 2))) == 0
    assert relative_difference(np.ones((1, 2)), np.ones((1, 3))) == float("inf")
    assert relative_difference(np.ones((1, 1)), np.array([[np.nan]])) == float("inf")


def test_saturated_softmax_does_not_hide_a_difference() -> None:
    model = residual()
    model.get_layer("head").kernel.assign(model.get_layer("head").kernel * 1e4)
    plan = make_plan(model, HALF)
    other = apply_plan(model, plan)
    other.get_layer("head").kernel.assign(other.get_layer("head").kernel * 1.01)
    assert not verify(model, other, plan).passed


SATURATING = ("tanh", "sigmoid", "hard_sigmoid", "hard_tanh", "softsign", "relu6", "sparse_sigmoid", "sparsemax")


@pytest.mark.parametrize("activation", SATURATING)
def test_no_saturated_output_hides_a_difference(activation: str) -> None:
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4, activation=activation, name="head")(hidden))
    randomise(model, seed=3)
    model.get_layer("head").kernel.assign(model.get_layer("head").kernel * 1e4)
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    assert verify(model, small, plan).passed
    small.get_layer("head").kernel.assign(small.get_layer("head").kernel * 1.01)
    assert not verify(model, small, plan).passed


@pytest.mark.parametrize("recurrent", [keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN])
def test_a_recurrent_layer_at_the_end_keeps_its_activation(
    monkeypatch: pytest.MonkeyPatch, recurrent: type[keras.layers.RNN]
) -> None:
    inputs = keras.Input((40, 3))
    model = keras.Model(inputs, recurrent(4)(keras.layers.Dense(8, name="hidden")(inputs)))
    randomise(model, seed=5)
    plan = make_plan(model, HALF)
    activations = []
    rebuilt = pruning.proof.verification.rebuild

    def watched(original: keras.Model, edit: Edit, change: Change) -> Rebuilt:
        copy = rebuilt(original, edit, change)
        activations.append(copy.model.layers[-1].activation)
        return copy

    monkeypatch.setattr(pruning.proof.verification, "rebuild", watched)
    monkeypatch.setattr(pruning.proof.verification, "TOLERANCE", -1.0)  # So that copies are compared.
    monkeypatch.setattr(pruning.proof.verification._Comparison, "_copies_are_faithful", lambda self: True)
    verify(model, apply_plan(model, plan), plan)
    assert activations
    assert set(activations) == {keras.activations.tanh}


@pytest.mark.parametrize(
    "pool",
    [
        keras.layers.MaxPooling3D(2),
        keras.layers.AveragePooling3D(2, padding="same"),
        keras.layers.AdaptiveMaxPooling3D(4),
        keras.layers.AdaptiveAveragePooling3D((4, 4, 4)),
    ],
    ids=lambda pool: type(pool).__name__,
)
def test_layers_without_a_float64_kernel_do_not_stop_the_proof(
    monkeypatch: pytest.MonkeyPatch, pool: keras.Layer
) -> None:
    monkeypatch.setattr(pruning.proof.verification, "TOLERANCE", 1e-9)  # Beyond float32, so that float64 is tried.
    inputs = keras.Input((8, 8, 8, 1))
    hidden = keras.layers.GroupNormalization(-1)(keras.layers.Conv3D(8, 3, padding="same")(inputs))
    hidden = keras.layers.Conv3D(8, 3, padding="same", activation="relu")(pool.from_config(pool.get_config())(hidden))
    model = keras.Model(inputs, keras.layers.Conv3D(3, 1)(hidden))
    randomise(model, seed=1)
    plan = make_plan(model, HALF)
    proof = verify(model, apply_plan(model, plan), plan)
    assert proof.precision == "float64"
    assert proof.max_relative_difference < 1e-6


def cancelling() -> keras.Model:
    """Return the small difference of two large sums over 256 channels: float32 loses most of its digits."""
    inputs = keras.Input((8,))
    hidden = keras.layers.LayerNormalization()(keras.layers.Dense(256)(inputs))
    sums = [keras.layers.Dense(4, name=name)(hidden) for name in ("sum", "other")]
    model = keras.Model(inputs, keras.layers.Subtract()(sums))
    randomise(model, seed=7)
    for value, close in zip(model.get_layer("sum").variables, model.get_layer("other").variables, strict=True):
        noise = np.random.default_rng(8).uniform(-1e-4, 1e-4, value.shape)
        close.assign(keras.ops.convert_to_numpy(value) + noise)
    return model


def test_rounding_is_told_from_a_wrong_slice() -> None:
    """Float32 can tell neither a right prune nor a wrong one of such a model; so it has to be float64 in earnest."""
    model = cancelling()
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    proof = verify(model, small, plan)
    assert proof.passed
    assert proof.precision == "float64"
    assert proof.max_relative_difference < 1e-8
    kernel = small.get_layer("sum").kernel
    kernel.assign(kernel * (1 + 2.0**-20))  # less than what the sums' own rounding in float32 makes of the outputs
    assert not verify(model, small, plan).passed


def test_sharp_scores_do_not_make_a_difference_of_rounding() -> None:
    """The queries of narrower heads are multiplied by a root, and rounded; a sharp softmax makes much of that."""
    inputs = keras.Input((300, 6))
    attend = keras.layers.MultiHeadAttention(1, 24)
    attended, scores = attend(keras.layers.Dense(6)(inputs), inputs, return_attention_scores=True)
    model = keras.Model(inputs, [keras.layers.Dense(2)(attended), scores])
    randomise(model, seed=2)
    attend._query_dense.kernel.assign(attend._query_dense.kernel * 3)
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    narrow = small.get_layer(attend.name)
    assert narrow.key_dim == 12
    assert verify(model, small, plan).passed
    kernel = narrow._query_dense.kernel
    kernel.assign(kernel * 1.001)
    assert not verify(model, small, plan).passed


@pytest.mark.parametrize(
    "model",
    [
        keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3), keras.layers.Conv2D(2, 33)]),
        keras.Sequential([keras.Input((5,), dtype="int32"), keras.layers.Dense(4), keras.layers.Dense(2)]),
    ],
)
def test_inputs_of_unknown_size_and_of_integers(model: keras.Model) -> None:
    plan = make_plan(model, HALF)
    assert verify(model, apply_plan(model, plan), plan).passed


def test_word_indices_and_positive_numbers_are_tried_as_inputs() -> None:
    words = keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Embedding(50, 8),
            keras.layers.Conv1D(8, 3),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(3),
        ]
    )
    inputs = keras.Input((6,))
    logarithm = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(8)(keras.ops.log(inputs))))
    for model in (words, logarithm):
        plan = make_plan(model, HALF)
        assert verify(model, apply_plan(model, plan), plan).passed


@of_tensorflow
def test_words_that_the_model_looks_up_are_tried_as_inputs() -> None:
    adapted = keras.layers.TextVectorization(output_sequence_length=4)
    adapted.adapt(np.array(["the cat sat", "the dog ran off"]))
    inputs = keras.Input((1,), dtype="string")
    hidden = keras.layers.Dense(6)(keras.layers.Flatten()(keras.layers.Embedding(9, 4)(adapted(inputs))))
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    plan = make_plan(model, HALF)
    proof = verify(model, apply_plan(model, plan), plan)
    assert proof.passed
    assert proof.output_spread > 1e-3


@of_tensorflow
def test_binned_numbers_stay_in_their_bins() -> None:
    adapted = keras.layers.Discretization(num_bins=4)
    adapted.adapt(np.arange(-2, 2, 0.1))
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(6)(keras.layers.Flatten()(keras.layers.Embedding(5, 4)(adapted(inputs))))
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    plan = make_plan(model, HALF)
    assert verify(model, apply_plan(model, plan), plan).passed


def test_a_model_that_is_nowhere_finite_is_not_called_right() -> None:
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(8)(keras.ops.log(inputs * 0 - 1))))
    plan = make_plan(model, HALF)
    with pytest.raises(VerificationError, match="no random inputs"):
        verify(model, apply_plan(model, plan), plan)


def test_the_model_that_was_given_is_compared_not_a_copy_of_it() -> None:
    """What a layer holds outside its config and variables is lost in any copy, and must not be lost unseen."""
    model = residual()
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    small.get_layer("stem_relu").negative_slope = 0.5
    assert not verify(model, small, plan).passed


def test_other_numbers_of_outputs_are_a_difference() -> None:
    model = residual()
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    wrong = keras.Model(small.inputs, [small.output, small.output])
    assert not verify(model, wrong, plan).passed


def test_statistics_must_leave_removed_channels_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeroed where they are read but still counted in a mean, removed channels change what the others become."""
    model = normalised(keras.layers.LayerNormalization())
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    assert verify(model, small, plan).passed
    monkeypatch.setattr(pruning.proof.reference, "REFERENCES", {})
    assert not verify(model, small, plan).passed


@pytest.mark.parametrize("wrong_cut", [_shift, _first, _reversed])
@pytest.mark.parametrize("weight", ["gamma", "beta"])
@pytest.mark.parametrize("kind", [keras.layers.LayerNormalization, lambda: keras.layers.GroupNormalization(2)])
def test_wrong_slices_of_a_normalisation_are_caught(
    kind: Callable[[], keras.layers.Layer], weight: str, wrong_cut: Callable[..., np.ndarray]
) -> None:
    model = normalised(kind())
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5, seed=2))
    small = apply_plan(model, plan)
    graph = ChannelGraph(model)
    stays = graph.stays({group.name: np.asarray(group.keep) for group in plan.groups})
    layer = model.layers[2]
    index = [variable is getattr(layer, weight) for variable in layer.variables].index(True)
    axis = next(axis for axis in graph.axes_of(layer) if axis.variable_index == index)
    value = wrong_cut(axis, keras.ops.convert_to_numpy(layer.variables[index]), stays[axis.labels])
    small.layers[2].variables[index].assign(value)
    assert not verify(model, small, plan).passed


def attended(hidden: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Attention()([hidden, hidden])


def attended_and_added(hidden: keras.KerasTensor) -> keras.KerasTensor:
    normal = keras.layers.LayerNormalization()(hidden)
    return hidden + keras.layers.MultiHeadAttention(2, 4)(normal, normal)


def normalised_and_nested(hidden: keras.KerasTensor) -> keras.KerasTensor:
    inner = keras.Input((5, 6))
    nested = keras.Model(inner, keras.layers.LSTM(4)(inner))
    return nested(keras.layers.LayerNormalization()(hidden))


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")  # Keras says so of any nested model.
@pytest.mark.parametrize("read", [attended, attended_and_added, normalised_and_nested])
def test_masks_that_keras_hangs_on_tensors_are_passed_on(
    read: Callable[[keras.KerasTensor], keras.KerasTensor],
) -> None:
    inputs = keras.Input((5,), dtype="int32")
    hidden = keras.layers.Embedding(9, 6, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(read(hidden)))
    randomise(model, seed=7)
    plan = make_plan(model, HALF)
    assert verify(model, apply_plan(model, plan), plan).passed


def normalised(layer: keras.layers.Layer) -> keras.Model:
    """Return a layer between one that makes eight channels and one that reads them."""
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 3), layer, keras.layers.Conv2D(2, 1)])
    model = keras.Model(model.inputs, model.outputs)
    randomise(model, seed=5)
    return model
