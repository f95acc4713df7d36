"""Criteria that look at data: against their definitions, written out here, and by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec, make_plan, prune
from pruning.catalog import CRITERIA
from pruning.criteria import DataCriterion, resolve_criterion
from pruning.errors import CriterionError, SpecError
from pruning.graph.groups import ChannelGraph
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring
from tests.pruning.models import blobs, residual, same, values
from tests.strategies import randomise

ON_DATA = [name for name, entry in CRITERIA.items() if entry.needs_data]
RANKS_ON_DATA = [name for name in ON_DATA if CRITERIA[name].ranks]


def importance(model: keras.Model, name: Any, data: Any, **options: Any) -> dict[str, np.ndarray]:
    graph = ChannelGraph(model)
    calibration = Calibration.of(model, data, num_samples=1000, seed=0, **options)
    scoring = Scoring(graph, name, seed=0, calibration=calibration)
    return {group.name: scoring.importance(group) for group in graph.groups}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return residual(compiled=True)


@pytest.fixture(scope="module")
def activations(model: keras.Model) -> dict[str, np.ndarray]:
    """What the weights read: `expand` and the head read the stem's channels, `project` those of `expand`."""
    outputs = {name: model.get_layer(name).output for name in ("stem_relu", "pool", "expand_relu")}
    return {name: np.asarray(a) for name, a in keras.Model(model.input, outputs).predict(blobs(30)[0]).items()}


def test_the_catalog_says_which_criteria_look_at_data() -> None:
    assert [name for name in CRITERIA if resolve_criterion(name).needs_data] == ON_DATA
    assert [name for name in CRITERIA if isinstance(resolve_criterion(name), DataCriterion)] == RANKS_ON_DATA


def test_mean_activation_by_its_definition(model: keras.Model, activations: dict[str, np.ndarray]) -> None:
    scores = importance(model, "mean_activation", blobs(30))
    means = {name: np.abs(a).reshape(-1, a.shape[-1]).mean(axis=0) for name, a in activations.items()}
    np.testing.assert_allclose(scores["expand"], means["expand_relu"], rtol=1e-5)
    np.testing.assert_allclose(scores["stem"], (means["stem_relu"] + means["pool"]) / 2, rtol=1e-5)


def test_apoz_by_its_definition(model: keras.Model, activations: dict[str, np.ndarray]) -> None:
    scores = importance(model, "apoz", blobs(30))
    maps = activations["expand_relu"]
    zeros = [sum(value == 0 for value in maps[..., c].reshape(-1).tolist()) / maps[..., c].size for c in range(16)]
    np.testing.assert_allclose(1 - scores["expand"], zeros, atol=1e-6)


def test_hrank_by_its_definition(model: keras.Model, activations: dict[str, np.ndarray]) -> None:
    scores = importance(model, "hrank", blobs(30))
    maps = activations["expand_relu"]
    ranks = [
        np.mean([np.linalg.matrix_rank(each, tol=1e-4 * np.linalg.norm(each, 2)) for each in maps[..., c]])
        for c in range(16)
    ]
    np.testing.assert_allclose(scores["expand"], ranks)


def two_layers() -> keras.Model:
    """Hidden units relu(x), relu(-x) and relu(x + 1), whose sum with weights 1, 2 and -1 is the output."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(3, activation="relu", name="d"), layers.Dense(1)])
    for variable, value in zip(model.variables, ([[1, -1, 1]], [0, 0, 1], [[1], [2], [-1]], [0]), strict=True):
        variable.assign(np.array(value, dtype="float32"))
    model.compile("sgd", "mean_squared_error")
    return model


HAND = (np.array([[2.0], [-1.0]], dtype="float32"), np.array([[0.0], [1.0]], dtype="float32"))
# x = 2: units 2, 0, 3; output 2 + 0 - 3 = -1; target 0. x = -1: units 0, 1, 0; output 2; target 1.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean_activation", [1.0, 0.5, 1.5]),
        ("apoz", [0.5, 0.5, 0.5]),
        ("hrank", [0.5, 0.5, 0.5]),
        # d loss / d output = 2 (output - target) = -2 and 2; times unit times weight: (-4, 0, 6) and (0, 4, 0).
        ("taylor", [(16 + 0) / 2, (0 + 16) / 2, (36 + 0) / 2]),
    ],
)
def test_by_hand(name: str, expected: list[float]) -> None:
    np.testing.assert_allclose(importance(two_layers(), name, HAND)["d"], expected, rtol=1e-6)


def test_taylor_by_its_definition() -> None:
    """The gradient of each sample's loss by a factor on the weights that read the channel, by differences."""
    model = residual(classes=2)
    small = keras.Model(model.input, layers.Dense(1, name="linear")(model.get_layer("pool").output))
    small.compile("sgd", "mean_squared_error")
    x, y = blobs(5, classes=2)
    scores = importance(small, "taylor", (x, y.astype("float32")[:, None]))
    kernel = small.get_layer("project").kernel
    original = np.array(kernel)

    def losses(channel: int, factor: float) -> np.ndarray:
        changed = original.copy()
        changed[:, :, channel] *= factor
        kernel.assign(changed)
        losses: np.ndarray = np.square(small.predict(x, verbose=0)[:, 0].astype("float64") - y)
        return losses

    for channel in range(16):
        gradient = (losses(channel, 1.01) - losses(channel, 0.99)) / 0.02
        np.testing.assert_allclose(scores["expand"][channel], np.mean(gradient**2), rtol=0.1, atol=1e-4)


def branched() -> keras.Model:
    """Channels that are flattened, concatenated, read twice, in a nested and in a shared layer."""
    inputs = keras.Input((6, 6, 1), name="image")
    left = layers.Conv2D(4, 3, activation="relu", name="left")(inputs)
    right = layers.Conv2D(3, 3, activation="relu", name="right")(inputs)
    both = layers.Concatenate()([left, right])
    shared = layers.Conv2D(7, 3, padding="same", activation="tanh", name="shared")
    inner = keras.Input((4, 4, 7))
    nested = keras.Model(inner, layers.Conv2D(5, 1, activation="relu", name="inside")(inner), name="nested")
    hidden = layers.Flatten()(nested(shared(shared(both))))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(hidden))
    randomise(model, seed=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(21, 6, 6, 1)).astype("float32"), generator.integers(0, 3, 21)


# Found with TensorFlow; the tests on other backends have to find the same.
ORDERS: dict[str, dict[str, list[int]]] = {
    "taylor": {"left": [1, 2, 3, 0], "right": [2, 0, 1], "nested/inside": [2, 0, 3, 4, 1]},
    "jacobian": {"left": [1, 2, 3, 0], "right": [2, 0, 1], "nested/inside": [2, 0, 3, 4, 1]},
    "mean_activation": {"left": [2, 3, 0, 1], "right": [2, 0, 1], "nested/inside": [2, 3, 0, 4, 1]},
    "apoz": {"left": [2, 0, 1, 3], "right": [2, 0, 1], "nested/inside": [2, 3, 0, 4, 1]},
    "hrank": {"left": [0, 1, 3, 2], "right": [2, 0, 1], "nested/inside": [2, 3, 0, 4, 1]},
    "reconstruction": {"left": [2, 3, 1, 0], "right": [2, 0, 1], "nested/inside": [2, 3, 4, 0, 1]},
    "oracle": {"left": [3, 0, 1, 2], "right": [0, 2, 1], "nested/inside": [0, 1, 4, 2, 3]},
}


@pytest.mark.parametrize("name", RANKS_ON_DATA)
def test_rankings_depend_on_neither_batch_size_nor_backend(name: str, images: Any) -> None:
    model = branched()
    small, large = (importance(model, name, images, batch_size=size) for size in (4, 21))
    for group in small:
        np.testing.assert_allclose(small[group], large[group], rtol=1e-4)
        assert np.argsort(-small[group], kind="stable").tolist() == ORDERS[name][group]
        assert np.argsort(-large[group], kind="stable").tolist() == ORDERS[name][group]


def test_maps_that_are_flattened_before_they_are_read_are_seen_as_maps(images: Any) -> None:
    assert importance(branched(), "hrank", images)["nested/inside"].max() > 1


@pytest.mark.parametrize("name", RANKS_ON_DATA)
def test_the_model_is_not_changed(name: str, model: keras.Model) -> None:
    before = values(model)
    flags = [layer.trainable for layer in model.layers]
    importance(model, name, blobs(8))
    assert same(values(model), before)
    assert [layer.trainable for layer in model.layers] == flags
    assert model.get_layer("stem").output is not None


@pytest.mark.parametrize("name", ON_DATA)
def test_without_data_the_criterion_is_named(name: str, model: keras.Model) -> None:
    spec = PruningSpec(criterion=name, ratio=0.5)
    for plan in (make_plan, prune):
        with pytest.raises(CriterionError, match=f"The criterion {name} looks at data") as caught:
            plan(model, spec)
        assert caught.value.field == "dataset"


def test_without_a_loss_taylor_says_so() -> None:
    model = residual()
    x = blobs(8)[0]
    with pytest.raises(SpecError, match="There is no loss"):
        make_plan(model, PruningSpec(criterion="taylor", ratio=0.5), (x, np.zeros((8, 4))))
    make_plan(model, PruningSpec(criterion="apoz", ratio=0.5), (x, np.zeros((8, 4))))


def test_no_more_samples_are_looked_at_than_asked(model: keras.Model) -> None:
    told = []
    calibration = Calibration.of(model, blobs(64), num_samples=10, seed=0, batch_size=4, on_share=told.append)
    graph = ChannelGraph(model)
    Scoring(graph, "apoz", 0, calibration).importance(graph.groups[0])
    assert calibration.num_samples == 10
    assert told == [0.4, 0.8, 1.0]


def test_channels_that_cannot_be_seen_are_named(model: keras.Model) -> None:
    graph = ChannelGraph(model)
    graph.records.places.clear()
    calibration = Calibration.of(model, blobs(4), num_samples=4, seed=0)
    with pytest.raises(CriterionError, match=r"group 'stem' are read inside layer .*exclude"):
        Scoring(graph, "apoz", 0, calibration).importance(graph.groups[0])


@pytest.mark.parametrize("name", ["apoz", "taylor"])
def test_a_group_that_cannot_be_seen_does_not_keep_others_from_being_measured(name: str) -> None:
    model = keras.Sequential(
        [keras.Input((5, 2)), layers.LSTM(4, name="lstm"), layers.Dense(6, activation="relu", name="hidden")]
    )
    model.add(layers.Dense(3, activation="softmax", name="head"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    data = np.random.default_rng(0).normal(size=(6, 5, 2)).astype("float32"), np.arange(6) % 3
    plan = make_plan(model, PruningSpec(criterion=name, ratio=0.5, exclude=["lstm.*"]), data)
    assert {group.name.partition("/")[0]: len(group.keep) for group in plan.groups} == {"lstm": 4, "hidden": 3}
    with pytest.raises(CriterionError, match=r"'lstm.*' are read inside layer"):
        make_plan(model, PruningSpec(criterion=name, ratio=0.5), data)


def test_factors_on_what_several_channels_make_are_seen() -> None:
    """The sum of the units is the output: a factor on one changes the loss by 2 (output - target) times the unit."""
    inputs = keras.Input((2,))
    hidden = layers.Dense(3, activation="relu", name="d")(inputs)
    model = keras.Model(inputs, keras.ops.sum(hidden, axis=-1, keepdims=True))
    randomise(model, seed=0)
    model.compile("sgd", "mean_squared_error")
    x, y = np.random.default_rng(0).normal(size=(6, 2)).astype("float32"), np.zeros((6, 1), "float32")
    units = np.asarray(keras.Model(inputs, hidden)(x)).astype("float64")
    expected = np.mean((2 * units.sum(axis=1, keepdims=True) * units) ** 2, axis=0)
    np.testing.assert_allclose(importance(model, "taylor", (x, y))["d"], expected, rtol=1e-4)
    np.testing.assert_allclose(importance(model, "mean_activation", (x, y))["d"], units.mean(axis=0), rtol=1e-4)


def attending_to_itself(hidden: Any) -> Any:
    return layers.Attention(name="reader")([hidden, hidden])


def largest(hidden: Any) -> Any:
    return layers.Multiply()([hidden, keras.ops.max(hidden, axis=-1, keepdims=True)])


def residual_recurrent(hidden: Any) -> Any:
    return layers.Add()([hidden, layers.LSTM(6, return_sequences=True, name="reader")(hidden)])


@pytest.mark.parametrize("read", [attending_to_itself, largest, residual_recurrent])
def test_taylor_refuses_what_no_factor_can_take_away(read: Any) -> None:
    inputs = keras.Input((5, 4))
    hidden = read(layers.Dense(6, name="d")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(hidden)))
    model.compile("sgd", "mean_squared_error")
    data = np.ones((3, 5, 4), "float32"), np.ones((3, 2), "float32")
    with pytest.raises(CriterionError, match=r"'d' are .* layer '(reader|max.*)', where they cannot be seen"):
        importance(model, "taylor", data)


def test_a_users_own_measure(model: keras.Model, activations: dict[str, np.ndarray]) -> None:
    class Largest(DataCriterion):
        """Keeps the channels with the largest activations."""

        observes = "activations"

        def measure(self, observed: Any) -> Any:
            return keras.ops.max(observed, axis=(1, 2)) if len(observed.shape) == 4 else observed

    largest = activations["expand_relu"].max(axis=(1, 2)).mean(axis=0)
    np.testing.assert_allclose(importance(model, Largest, blobs(30))["expand"], largest, rtol=1e-5)


def test_several_outputs_have_weighted_losses(images: Any) -> None:
    inputs = keras.Input((2,))
    hidden = layers.Dense(4, activation="relu", name="hidden")(inputs)
    model = keras.Model(inputs, {"a": layers.Dense(1, name="a")(hidden), "b": layers.Dense(1, name="b")(hidden)})
    randomise(model, seed=0)
    x = np.random.default_rng(1).normal(size=(9, 2)).astype("float32")
    y = {"a": np.ones((9, 1), "float32"), "b": np.zeros((9, 1), "float32")}
    scores = {}
    for weights in ({"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 0.0}, {"a": 0.0, "b": 1.0}):
        model.compile("sgd", {"a": "mean_squared_error", "b": "mean_absolute_error"}, loss_weights=weights)
        scores[tuple(weights.values())] = importance(model, "taylor", (x, y))["hidden"]
    np.testing.assert_allclose(scores[2.0, 0.0], 4 * scores[1.0, 0.0], rtol=1e-5)
    assert not np.allclose(scores[1.0, 0.0], scores[0.0, 1.0])


def test_a_whole_prune_on_data() -> None:
    spec = PruningSpec(criterion="taylor", ratio=0.25, calibration_samples=16)
    result = prune(residual(compiled=True), spec, blobs(48), training=TrainingSpec(fine_tuning_epochs=1))
    assert result.plan.criterion == "taylor"
    assert result.report.after.params < result.report.before.params
