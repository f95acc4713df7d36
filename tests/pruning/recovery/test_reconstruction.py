"""Pruned networks that are given back what the original computed, without training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning.graph.groups import ChannelGraph
from pruning.graph.program import Program
from pruning.recovery.reconstruction import Reconstruction, reconstruct
from pruning.scoring.gram import applied
from pruning.scoring.linear import LINEAR, linears
from pruning.surgery.cutting import prune_channels
from tests.pruning.models import same, values

COPIES = {2: 1, 5: 4}
"""Channel that is removed → the one of which it is twice the value."""

KEPT = [0, 1, 3, 4]
RIDGE = 1e-10

READERS: dict[type, list[tuple[tuple[int, ...], Callable[[], Any]]]] = {
    layers.Conv1D: [
        ((9,), lambda: layers.Conv1D(4, 3, name="reader")),
        ((9,), lambda: layers.Conv1D(4, 3, padding="causal", dilation_rate=2, name="reader")),
        ((9,), lambda: layers.Conv1D(4, 2, padding="same", strides=2, activation="relu", name="reader")),
    ],
    layers.Conv2D: [
        ((7, 6), lambda: layers.Conv2D(4, (3, 2), padding="same", strides=2, name="reader")),
        ((7, 6), lambda: layers.Conv2D(4, 2, dilation_rate=2, name="reader")),
        ((7, 6), lambda: layers.Conv2D(4, 3, groups=2, padding="same", name="reader")),
    ],
    layers.Conv3D: [((4, 5, 3), lambda: layers.Conv3D(4, 2, padding="same", strides=(1, 2, 1), name="reader"))],
    layers.Conv1DTranspose: [
        ((5,), lambda: layers.Conv1DTranspose(4, 3, strides=2, name="reader")),
        ((5,), lambda: layers.Conv1DTranspose(4, 4, strides=3, padding="same", name="reader")),
    ],
    layers.Conv2DTranspose: [
        ((5, 4), lambda: layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="reader")),
        ((5, 4), lambda: layers.Conv2DTranspose(4, (4, 2), strides=(2, 3), padding="same", name="reader")),
        ((5, 4), lambda: layers.Conv2DTranspose(4, 1, strides=2, name="reader")),
    ],
    layers.Conv3DTranspose: [((3, 2, 3), lambda: layers.Conv3DTranspose(4, 2, strides=2, name="reader"))],
    layers.SeparableConv1D: [((9,), lambda: layers.SeparableConv1D(4, 3, depth_multiplier=2, name="reader"))],
    layers.SeparableConv2D: [((6, 5), lambda: layers.SeparableConv2D(4, 3, padding="same", strides=2, name="reader"))],
    layers.Dense: [
        ((), lambda: layers.Dense(4, activation="softmax", name="reader")),
        ((5, 3), lambda: layers.Dense(4, name="reader")),
    ],
    layers.EinsumDense: [
        ((5,), lambda: layers.EinsumDense("bqc,cd->bqd", (None, 4), bias_axes="d", name="reader")),
        ((5,), lambda: layers.EinsumDense("...c,chd->...hd", (2, 4), bias_axes="hd", name="reader")),
        ((5,), lambda: layers.EinsumDense("bqc,qcd->bqd", (5, 4), bias_axes="qd", name="reader")),
        ((5,), lambda: layers.EinsumDense("bqc,cd->bdq", (4, 5), name="reader")),
    ],
    layers.MultiHeadAttention: [
        ((5,), lambda: layers.MultiHeadAttention(2, 3, name="reader")),
        # With dropout, because Keras's fused attention on JAX takes no values of another width.
        ((5,), lambda: layers.MultiHeadAttention(2, 3, value_dim=2, use_bias=False, dropout=0.1, name="reader")),
    ],
    layers.GroupQueryAttention: [((5,), lambda: layers.GroupQueryAttention(2, 4, 2, name="reader"))],
}


def reading(sizes: tuple[int, ...], reader: Any) -> keras.Model:
    """A network in which a layer reads six channels, two of which are copies of others."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((*sizes, 4), name="image")
    made = layers.Dense(6, activation="relu", bias_initializer="random_normal", name="made")(inputs)
    attends = isinstance(reader, layers.MultiHeadAttention | layers.GroupQueryAttention)
    read = reader(made, made) if attends else reader(made)
    model = keras.Model(inputs, layers.Dense(3, name="last")(read))
    copy_channels(model)
    return model


def copy_channels(model: keras.Model) -> None:
    """Make channels of the layer `made` copies of others, and what looks at each by itself look at them alike."""
    kernel, bias = (np.array(each) for each in model.get_layer("made").get_weights())
    for copy, source in COPIES.items():
        kernel[:, copy], bias[copy] = 2 * kernel[:, source], 2 * bias[source]
    model.get_layer("made").set_weights([kernel, bias])
    for layer in model.layers:
        if hasattr(layer, "depthwise_kernel"):
            depthwise = np.array(layer.depthwise_kernel)
            for copy, source in COPIES.items():
                depthwise[..., copy, :] = depthwise[..., source, :]
            layer.depthwise_kernel.assign(depthwise)


def without_copies(graph: ChannelGraph) -> np.ndarray:
    """Return which labels stay where the copies go."""
    (axis,) = (axis for axis in graph.axes("out") if axis.layer is graph.model.get_layer("made"))
    (group,) = graph.groups_on(axis)
    rows = graph.rows(axis, group)
    return graph.stays({group.name: np.flatnonzero(~np.isin(rows, list(COPIES)).any(axis=1))})


def samples(model: keras.Model, count: int = 96) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        tensor._keras_history.operation.name: random.normal(size=(count, *tensor.shape[1:])).astype(np.float32)
        for tensor in model.inputs
    }


def reconstructed(
    model: keras.Model, inputs: dict[str, np.ndarray], **settings: Any
) -> tuple[keras.Model, Reconstruction]:
    graph = ChannelGraph(model)
    stays = without_copies(graph)
    small = prune_channels(graph, stays)
    return small.model, reconstruct(graph, small, stays, inputs, **{"ridge": RIDGE, **settings})


def outputs(model: keras.Model, name: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
    given = [inputs[tensor._keras_history.operation.name] for tensor in model.inputs]
    return np.asarray(keras.ops.convert_to_numpy(keras.Model(model.inputs, model.get_layer(name).output)(given)))


def same_outputs(model: keras.Model, small: keras.Model, name: str, inputs: dict[str, np.ndarray]) -> bool:
    wanted, made = outputs(model, name, inputs), outputs(small, name, inputs)
    wanted = wanted if wanted.shape == made.shape else wanted[..., KEPT]  # Attention that gives out what it reads.
    return bool(np.max(np.abs(made - wanted)) <= 1e-4 * np.max(np.abs(wanted)))


every_reader = pytest.mark.parametrize(
    ("kind", "sizes", "reader"),
    [
        pytest.param(kind, sizes, reader, id=f"{kind.__name__}-{number}")
        for kind in LINEAR
        for number, (sizes, reader) in enumerate(READERS[kind])
    ],
)


@every_reader
def test_columns_times_matrices_are_what_the_layer_makes(
    kind: type, sizes: tuple[int, ...], reader: Callable[[], Any]
) -> None:
    model = reading(sizes, reader())
    read = np.random.default_rng(0).normal(size=(3, *sizes, 6)).astype(np.float32)
    (step,) = (
        step
        for step in Program(model).steps
        if type(step.node.operation) is kind and step.node.operation.name == "reader"
    )
    for linear in linears(step.node):
        linear.layer.activation = keras.activations.linear
        if linear.layer.bias is not None:
            linear.layer.bias.assign(np.zeros(linear.layer.bias.shape))
        places = np.tile(np.arange(linear.num_positions(read.shape)), (3, 1))
        made = applied(linear.columns(read, places), linear.layout.matrices(np.asarray(linear.kernel)))
        wanted = np.asarray(keras.ops.convert_to_numpy(linear.layer(read)))
        if isinstance(linear.layer, layers.EinsumDense):  # Its equation may order the axes in another way.
            made, wanted = np.sort(made.reshape(-1)), np.sort(wanted.reshape(-1))
        assert np.allclose(made.reshape(wanted.shape), wanted, atol=1e-5)


@every_reader
def test_what_copies_contributed_is_taken_over_by_what_they_are_copies_of(
    kind: type, sizes: tuple[int, ...], reader: Callable[[], Any]
) -> None:
    model = reading(sizes, reader())
    inputs = samples(model)
    assert type(model.get_layer("reader")) is kind
    small, done = reconstructed(model, inputs)
    assert same_outputs(model, small, "reader", samples(model, 8))
    assert done.layers
    assert all(each.error_after < 1e-6 < each.error_before for each in done.layers if each.path.startswith("reader"))


def normalized(*, use_bias: bool, normalize: bool = True, second_taker: bool = False) -> keras.Model:
    """A network in which the channels that go are constant."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 4), name="image")
    made = layers.Dense(6, activation="relu", bias_initializer="random_normal", name="made")(inputs)
    read = layers.Conv1D(5, 2, use_bias=use_bias, name="reader")(made)
    x = layers.BatchNormalization(name="norm")(read) if normalize else read
    x = layers.Add(name="both")([x, read]) if second_taker else layers.ReLU(name="both")(x)
    model = keras.Model(inputs, layers.Dense(3, name="last")(x))
    kernel, bias = (np.array(each) for each in model.get_layer("made").get_weights())
    kernel[:, list(COPIES)], bias[list(COPIES)] = 0, 3
    model.get_layer("made").set_weights([kernel, bias])
    return model


@pytest.mark.parametrize(("use_bias", "changed"), [(True, "reader"), (False, "norm")])
def test_a_shift_goes_into_the_bias_or_else_the_moving_mean(use_bias: bool, changed: str) -> None:
    model = normalized(use_bias=use_bias)
    inputs = samples(model)
    small, _ = reconstructed(model, inputs)
    assert same_outputs(model, small, "both", inputs)
    index = 1 if use_bias else 2
    assert not same(model.get_layer(changed).get_weights()[index:], small.get_layer(changed).get_weights()[index:])
    assert same(model.get_layer("norm").get_weights(), small.get_layer("norm").get_weights()) == use_bias


def test_a_moving_mean_stays_where_others_take_what_it_normalizes() -> None:
    model = normalized(use_bias=False, second_taker=True)
    small, done = reconstructed(model, samples(model))
    assert same(model.get_layer("norm").get_weights(), small.get_layer("norm").get_weights())
    assert done.layers[0].error_after <= done.layers[0].error_before


def test_without_an_offset_the_kernel_alone_has_to_do() -> None:
    model = normalized(use_bias=False, normalize=False)
    small, done = reconstructed(model, samples(model))
    (reader,) = done.layers
    assert reader.error_after < reader.error_before
    kernel = np.asarray(small.get_layer("reader").kernel)
    assert not np.allclose(kernel, np.asarray(model.get_layer("reader").kernel)[:, KEPT])


def test_the_original_and_layers_that_read_no_removed_channels_stay_as_they_are() -> None:
    model = reading((7, 6), layers.Conv2D(4, 3, name="reader"))
    before = [each.copy() for each in values(model)]
    small, done = reconstructed(model, samples(model))
    assert same(before, values(model))
    assert [each.path for each in done.layers] == ["reader"]
    assert same(model.get_layer("last").get_weights(), small.get_layer("last").get_weights())
    assert same(
        [each[..., KEPT] for each in model.get_layer("made").get_weights()], small.get_layer("made").get_weights()
    )


def test_nothing_is_done_where_nothing_is_removed() -> None:
    model = reading((7, 6), layers.Conv2D(4, 3, name="reader"))
    graph = ChannelGraph(model)
    stays = graph.stays({})
    small = prune_channels(graph, stays)
    assert reconstruct(graph, small, stays, samples(model)).layers == ()
    assert same(values(model), values(small.model))


def two_inputs(*, nested: bool) -> keras.Model:
    """A layer that two branches share, in a model of its own or not, and an input that goes around it."""
    keras.utils.set_random_seed(0)
    first, second = keras.Input((6, 4), name="a"), keras.Input((6, 4), name="b")
    made = layers.Dense(6, activation="relu", bias_initializer="random_normal", name="made")
    reader = layers.Conv1D(5, 2, activation="tanh", name="reader")
    shared = keras.Sequential([keras.Input((6, 6)), reader], name="nested") if nested else reader
    x = layers.Concatenate(name="both")([shared(made(first)), shared(made(second))])
    model = keras.Model({"b": second, "a": first}, layers.Dense(3, name="last")(x))
    copy_channels(model)
    return model


@pytest.mark.parametrize("nested", [False, True])
def test_a_shared_layer_is_solved_on_all_that_it_reads(nested: bool) -> None:
    model = two_inputs(nested=nested)
    random = np.random.default_rng(1)
    inputs = {name: random.normal(size=(96, 6, 4)).astype(np.float32) + shift for name, shift in (("a", 1), ("b", -1))}
    small, done = reconstructed(model, inputs)
    assert len(done.layers) == 1
    assert all(
        np.allclose(*pair, rtol=1e-4, atol=1e-4)
        for pair in zip(outputs_of(model, inputs), outputs_of(small, inputs), strict=True)
    )
    # Without copies, one branch that sees what both see tells the same.
    made = model.get_layer("made")
    made.set_weights([random.normal(size=each.shape) for each in made.get_weights()])
    reader = next(layer for layer in model._flatten_layers() if layer.name == "reader")
    alone = keras.Sequential(
        [
            keras.Input((6, 4), name="image"),
            layers.Dense.from_config(made.get_config()),
            layers.Conv1D.from_config(reader.get_config()),
            layers.Dense(3),
        ]
    )
    for layer, source in zip(alone.layers, (made, reader), strict=False):
        layer.set_weights(source.get_weights())
    small, done = reconstructed(model, inputs, ridge=1e-4)
    single, alone_done = reconstructed(alone, {"image": np.concatenate([inputs["a"], inputs["b"]])}, ridge=1e-4)
    solved = next(layer for layer in small._flatten_layers() if layer.name == "reader")
    assert done.layers[0].error_after == pytest.approx(alone_done.layers[0].error_after, rel=1e-4)
    assert all(
        np.allclose(*pair, rtol=1e-3, atol=1e-4)
        for pair in zip(solved.get_weights(), single.get_layer("reader").get_weights(), strict=True)
    )


def outputs_of(model: keras.Model, inputs: Any) -> list[np.ndarray]:
    return [np.asarray(keras.ops.convert_to_numpy(each)) for each in keras.tree.flatten(model(inputs))]


def test_a_layer_called_on_what_it_made_itself_is_solved_once() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 4), name="image")
    made = layers.Dense(6, activation="relu", bias_initializer="random_normal", name="made")
    reader = layers.Dense(4, name="reader")
    x = reader(made(inputs))
    model = keras.Model(inputs, layers.Dense(3, name="last")(reader(made(x))))
    copy_channels(model)
    small, done = reconstructed(model, samples(model))
    assert [each.path for each in done.layers] == ["reader"]
    given = next(iter(samples(model, 8).values()))
    assert np.allclose(keras.ops.convert_to_numpy(model(given)), keras.ops.convert_to_numpy(small(given)), atol=1e-4)


def pruned_by_half(model: keras.Model) -> tuple[ChannelGraph, ChannelGraph, np.ndarray]:
    graph = ChannelGraph(model)
    stays = graph.stays({group.name: np.arange(group.num_channels)[::2] for group in graph.groups})
    return graph, prune_channels(graph, stays), stays


def deep(batch_size: int | None = None) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3), batch_size=batch_size, name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    y = layers.Dropout(0.5)(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(x)))
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(12, 3, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def test_a_stream_of_small_batches_gives_what_one_batch_gives() -> None:
    weights = []
    for chunk in (7, 64):
        graph, small, stays = pruned_by_half(deep())
        done = reconstruct(graph, small, stays, samples(graph.model, 64), chunk=chunk, num_positions=16)
        assert done.num_samples == 64
        assert all(each.error_after < each.error_before for each in done.layers)
        weights.append(values(small.model))
    assert all(np.allclose(*pair, rtol=1e-3, atol=1e-4) for pair in zip(*weights, strict=True))


@pytest.mark.parametrize(("budget", "fewest", "most"), [(2**31, 64, 64), (200_000, 8, 32), (1, 8, 8)])
def test_fewer_samples_are_used_where_not_all_fit(budget: int, fewest: int, most: int) -> None:
    graph, small, stays = pruned_by_half(deep())
    done = reconstruct(graph, small, stays, samples(graph.model, 64), chunk=8, frontier_bytes=budget)
    assert fewest <= done.num_samples <= most


def test_a_model_of_a_fixed_batch_size_is_run_in_batches_of_it() -> None:
    graph, small, stays = pruned_by_half(deep(batch_size=5))
    done = reconstruct(graph, small, stays, samples_of(12, (8, 8, 3)))
    assert done.num_samples == 15
    assert all(each.error_after < each.error_before for each in done.layers)


def samples_of(count: int, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32)}
