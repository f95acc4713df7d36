"""The oracle against brute force: the masked original of the proof, run once for each channel."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from keras import layers, ops
from PIL import Image
from scipy.stats import spearmanr

from pruning import PruningSpec, TrainingSpec, prune
from pruning.errors import SpecError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program
from pruning.keras_model.graph import inputs_by_name, outputs_by_name
from pruning.proof.masking import Mask, run
from pruning.proof.random_inputs import random_inputs
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring
from pruning.scoring.partition import Partition
from pruning.scoring.views import views
from tests.pruning.models import blobs, residual
from tests.shared import shared
from tests.strategies import models, randomise


def without(graph: ChannelGraph, group: ChannelGroup, channel: int, x: Any) -> list[np.ndarray]:
    """Outputs of the original without one channel, as the proof takes it away."""
    keep = np.delete(np.arange(group.num_channels), channel)
    return run(graph.model, Mask.of(graph, graph.stays({group.name: keep})), x)


def squares(outputs: list[np.ndarray], targets: list[np.ndarray]) -> float:
    return float(sum(np.mean(np.square(a - b)) for a, b in zip(outputs, targets, strict=True)))


def crossentropy(outputs: list[np.ndarray], targets: list[np.ndarray]) -> float:
    (probabilities,), (labels,) = outputs, targets
    return float(-np.mean(np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1 - 1e-7))))


def compiled_brute_force(graph: ChannelGraph, group: ChannelGroup, x: Any, y: Any) -> np.ndarray:
    """The same as below with the masked weights in the model itself, which is compiled once."""

    def loss(weights: Any) -> float:
        before = [(variable, np.array(variable)) for variable, _ in weights]
        for variable, value in weights:
            variable.assign(value)
        outputs = graph.model.predict_on_batch(x)
        for variable, value in before:
            variable.assign(value)
        return crossentropy([outputs], [y])

    kept = [np.delete(np.arange(group.num_channels), channel) for channel in range(group.num_channels)]
    masks = [Mask.of(graph, graph.stays({group.name: keep})).weights.values() for keep in kept]
    return np.array([loss(weights) for weights in masks]) - loss([])


def brute_force(graph: ChannelGraph, group: ChannelGroup, x: Any, y: list[np.ndarray], loss: Any) -> np.ndarray:
    whole = loss(run(graph.model, Mask(), x), y)
    return np.array([loss(without(graph, group, channel, x), y) - whole for channel in range(group.num_channels)])


def oracle(graph: ChannelGraph, group: ChannelGroup, data: Any, batch_size: int | None = None) -> np.ndarray:
    calibration = Calibration.of(graph.model, data, num_samples=10_000, seed=0, batch_size=batch_size)
    return Scoring(graph, "oracle", 0, calibration).importance(group)


def assert_same_ranking(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Assert that both rank alike, but for channels that are no further apart than the tolerance."""
    assert np.all(np.diff(actual[np.argsort(expected)]) >= -tolerance)


@settings(
    max_examples=10, derandomize=True, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck), database=None,
)  # fmt: skip
@given(models())
def test_equal_to_brute_force_on_ten_random_networks(model: keras.Model) -> None:
    graph = ChannelGraph(model)
    inputs = keras.tree.flatten(random_inputs(model, "positive", num_samples=3, seed=0))
    x = dict(zip(inputs_by_name(model), inputs, strict=True))
    packed = random_inputs(model, "positive", num_samples=3, seed=0)
    generator = np.random.default_rng(0)
    targets = [generator.normal(size=output.shape).astype("float32") for output in run(model, Mask(), packed)]
    model.compile("sgd", "mean_squared_error")
    y = dict(zip(outputs_by_name(model), targets, strict=True))
    scale = max(1.0, squares(run(model, Mask(), packed), targets))
    for group in graph.groups:
        expected = brute_force(graph, group, packed, targets, squares)
        actual = oracle(graph, group, (x, y))
        scale = max(scale, float(np.abs(expected).max()))
        np.testing.assert_allclose(actual, expected, atol=1e-5 * scale)
        assert_same_ranking(actual, expected, 1e-5 * scale)


def test_equal_to_brute_force_on_a_residual_stage_of_resnet20() -> None:
    model = keras.models.load_model(shared("data/models/resnet20-cifar10-adapted.keras"), compile=False)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    archive = zipfile.ZipFile(shared("data/cifar10.zip"))
    names = sorted(name for name in archive.namelist() if name.startswith("validation/") and name.endswith(".jpg"))
    names = names[::625]
    classes = sorted({name.split("/")[1] for name in names})
    x = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names])
    y = np.array([classes.index(name.split("/")[1]) for name in names])
    graph = ChannelGraph(model)
    stage = [group for group in graph.groups if "stage3" in group.name]
    assert sum(group.num_channels for group in stage) == 256
    for group in stage:
        expected = compiled_brute_force(graph, group, x, y)
        actual = oracle(graph, group, (x, y))
        np.testing.assert_allclose(actual, expected, atol=1e-5)
        assert_same_ranking(actual, expected, 1e-6)
        assert spearmanr(actual.round(6), expected.round(6)).statistic > 0.9999


def test_by_hand() -> None:
    model = keras.Sequential([keras.Input((1,)), layers.Dense(3, activation="relu", name="d"), layers.Dense(1)])
    for variable, value in zip(model.variables, ([[1, -1, 1]], [0, 0, 1], [[1], [2], [-1]], [0]), strict=True):
        variable.assign(np.array(value, dtype="float32"))
    model.compile("sgd", "mean_squared_error")
    graph = ChannelGraph(model)
    x, y = np.array([[2.0], [-1.0]], dtype="float32"), np.array([[0.0], [1.0]], dtype="float32")
    # Outputs 2 + 0 - 3 = -1 and 0 + 2 - 0 = 2: losses 1 and 1. Without each unit: -3, 2; -1, 0; 2, 2.
    np.testing.assert_allclose(
        oracle(graph, graph.groups[0], (x, y)), [(9 + 1) / 2 - 1, (1 + 1) / 2 - 1, (4 + 1) / 2 - 1]
    )


@pytest.mark.parametrize("batch_size", [3, 16, 100])
def test_batch_sizes_do_not_matter(batch_size: int) -> None:
    """Three leaves a batch that is filled up, 100 puts several masks into one."""
    model = residual(compiled=True)
    x, y = blobs(16)
    graph = ChannelGraph(model)
    for group in graph.groups:
        expected = brute_force(graph, group, x, [y], crossentropy)
        np.testing.assert_allclose(oracle(graph, group, (x, y), batch_size), expected, rtol=1e-4, atol=1e-4)


READERS = {
    "strides": ((9, 8, 2), [layers.Conv2D(4, 3), layers.Conv2D(3, 3, strides=2, padding="same", activation="relu")]),
    "dilation": ((9, 8, 2), [layers.Conv2D(4, 3), layers.Conv2D(3, (2, 3), dilation_rate=2, use_bias=False)]),
    "sequences": ((9, 2), [layers.Conv1D(4, 3), layers.Conv1D(3, 3, strides=2)]),
    "volumes": ((5, 6, 4, 2), [layers.Conv3D(4, 3), layers.Conv3D(3, 2, padding="same")]),
    "flattened": ((5, 4, 2), [layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3, activation="relu")]),
    "groups": ((6, 6, 2), [layers.Conv2D(4, 3), layers.Conv2D(6, 3, groups=2)]),
    "causal": ((9, 2), [layers.Conv1D(4, 3), layers.Conv1D(3, 3, padding="causal")]),
}


def read_by(name: str) -> keras.Model:
    """A network the first convolution of which is read by the layers of that name, then by a head."""
    shape, made = READERS[name]
    again = [layer.__class__.from_config(layer.get_config()) for layer in made]
    model = keras.Sequential([keras.Input(shape), *again, layers.Flatten(), layers.Dense(2)])
    randomise(model, seed=0)
    model.compile("sgd", "mean_squared_error")
    return model


@pytest.mark.parametrize("batch_size", [5, 100])
@pytest.mark.parametrize("name", READERS)
def test_every_kind_of_reader_is_equal_to_brute_force(name: str, batch_size: int) -> None:
    model = read_by(name)
    x = np.random.default_rng(0).normal(size=(7, *model.input_shape[1:])).astype("float32")
    y = np.random.default_rng(1).normal(size=(7, 2)).astype("float32")
    graph = ChannelGraph(model)
    for group in graph.groups[:1]:
        expected = brute_force(graph, group, x, [y], squares)
        actual = oracle(graph, group, (x, y), batch_size)
        np.testing.assert_allclose(actual, expected, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", READERS)
def test_only_what_lies_behind_a_reader_is_run_for_each_channel(name: str) -> None:
    model = read_by(name)
    graph, program = ChannelGraph(model), Program(model)
    partition = Partition(program, views(graph, program, graph.groups[0]))
    ran = {id(program.steps[index].node.operation) for index in partition.tail}
    reader = next(
        layer for layer in model.layers if layer in [axis.layer for axis in graph.axes("in", graph.groups[0])]
    )
    assert (id(reader) in ran) == (name in ("groups", "causal"))
    assert id(model.layers[0]) not in ran


def test_channels_that_are_read_inside_a_layer_are_masked_in_its_weights() -> None:
    model = keras.Sequential(
        [keras.Input((5, 2)), layers.LSTM(4, name="lstm"), layers.Dense(3, activation="softmax", name="head")]
    )
    randomise(model, seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    graph = ChannelGraph(model)
    x = np.random.default_rng(0).normal(size=(7, 5, 2)).astype("float32")
    y = np.arange(7) % 3
    expected = brute_force(graph, graph.groups[0], x, [y], crossentropy)
    np.testing.assert_allclose(oracle(graph, graph.groups[0], (x, y), 7), expected, atol=1e-5)


def test_in_a_whole_prune_the_channels_that_help_least_go_and_progress_is_told() -> None:
    model = residual(compiled=True)
    told = []
    spec = PruningSpec(criterion="oracle", ratio=0.25, calibration_samples=16)
    result = prune(model, spec, blobs(32), training=TrainingSpec(fine_tuning_epochs=0), on_progress=told.append)
    assert result.report.steps[-1].max_relative_difference is not None
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)


def by_hand() -> tuple[Any, Any]:
    inputs = keras.Input((5, 4))
    q, k, v = (layers.Dense(6, name=name)(inputs) for name in "qkv")
    return inputs, ops.matmul(ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1)))), v)


def with_itself() -> tuple[Any, Any]:
    inputs = keras.Input((5, 4))
    y = layers.Dense(6, name="d")(inputs)
    return inputs, ops.einsum("btc,bsc->bts", y, y)


def added_up() -> tuple[Any, Any]:
    inputs = keras.Input((5, 4))
    return inputs, ops.sum(layers.Dense(6, name="d")(inputs), -1)


def mean_and_maximum() -> tuple[Any, Any]:
    inputs = keras.Input((5, 4))
    y = layers.Dense(6, activation="relu", name="d")(inputs)
    both = ops.stack([ops.mean(y, axis=-1), ops.max(y, axis=-1)], axis=-1)
    return inputs, layers.Multiply()([y, layers.Dense(1, activation="sigmoid", name="gate")(both)])


def shares() -> tuple[Any, Any]:
    inputs = keras.Input((5, 4))
    return inputs, layers.Softmax()(layers.Dense(6, name="d")(inputs))


def attention() -> tuple[Any, Any]:
    inputs = keras.Input((5, 4))
    y = layers.Dense(6, name="d")(inputs)
    return inputs, layers.Attention()([y, y])


def residual_recurrent() -> tuple[Any, Any]:
    inputs = keras.Input((5, 4))
    y = layers.Dense(6, name="d")(inputs)
    return inputs, layers.Add()([y, layers.LSTM(6, return_sequences=True, name="lstm")(y)])


def masked_inside() -> tuple[Any, Any]:
    inputs, inner = keras.Input((5,), dtype="int32"), keras.Input((5, 6))
    nested = keras.Model(inner, layers.LSTM(4, name="lstm")(inner), name="inner")
    return inputs, nested(layers.Embedding(9, 6, mask_zero=True, name="e")(inputs))


READ_TOGETHER = {
    make.__name__: make
    for make in (
        *(by_hand, with_itself, added_up, mean_and_maximum, shares, attention, residual_recurrent, masked_inside),
    )
}


def read_together(name: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    inputs, hidden = READ_TOGETHER[name]()
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(hidden)))
    randomise(model, seed=1)
    model.compile("sgd", "mean_squared_error")
    generator = np.random.default_rng(0)
    indices = np.array([[1, 2, 0, 0, 0], [5, 0, 0, 0, 0], [1, 2, 3, 4, 5], [8, 7, 6, 0, 0]])
    x = indices if name == "masked_inside" else generator.normal(size=(4, 5, 4)).astype("float32")
    return model, x, generator.normal(size=(4, 2)).astype("float32")


@pytest.mark.parametrize("name", READ_TOGETHER)
def test_equal_to_brute_force_where_channels_are_read_together_or_inside(name: str) -> None:
    model, x, y = read_together(name)
    graph = ChannelGraph(model)
    assert graph.groups
    for group in graph.groups:
        expected = brute_force(graph, group, x, [y], squares)
        actual = oracle(graph, group, (x, y))
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(actual, expected, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


def test_a_masked_sequence_has_the_loss_that_keras_measures() -> None:
    inputs = keras.Input((5,), dtype="int32")
    hidden = layers.Dense(6, activation="relu", name="d")(layers.Embedding(9, 4, mask_zero=True, name="e")(inputs))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(hidden))
    randomise(model, seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.array([[1, 2, 0, 0, 0], [5, 0, 0, 0, 0], [1, 2, 3, 4, 5], [8, 7, 6, 0, 0]])
    y = np.random.default_rng(0).integers(0, 3, x.shape)
    graph = ChannelGraph(model)
    group = next(group for group in graph.groups if group.name == "d")
    kernel = model.get_layer("head").kernel
    original, whole = np.array(kernel), model.evaluate(x, y, verbose=0)
    expected = []
    for channel in range(6):
        kernel.assign(original * (np.arange(6) != channel)[:, None])
        expected.append(model.evaluate(x, y, verbose=0) - whole)
    kernel.assign(original)
    np.testing.assert_allclose(oracle(graph, group, (x, y)), expected, atol=1e-5)


def test_a_loss_with_one_value_for_a_batch_is_refused_as_it_is_elsewhere() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="d"), layers.Dense(2)])
    model.compile("sgd", lambda target, output: ops.mean(ops.square(target - output)))
    graph, data = ChannelGraph(model), (np.ones((4, 3), "float32"), np.ones((4, 2), "float32"))
    for name in ("oracle", "taylor"):
        scoring = Scoring(graph, name, 0, Calibration.of(model, data, num_samples=4, seed=0))
        with pytest.raises(SpecError, match=r"^The loss returns one value for a whole batch") as caught:
            scoring.importance(graph.groups[0])
        assert caught.value.field == "training.loss"
