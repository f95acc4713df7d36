"""Files of Keras 2, one per row of the table of repairs: loaded, equal to tf-keras's own output, pruned, verified."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras  # before tf-keras, which is built on it
import numpy as np
import pytest

from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.load import load
from pruning.load.entries import walk
from pruning.load.refusals import REFUSALS
from pruning.load.repairs import REPAIRS
from pruning.load.weight_paths import NOTE
from tests.pruning.keras2 import Config, Edit, count_twice, edit_file, edit_weights, with_backslashes
from tests.pruning.load.compile_settings import SETTINGS

tf_keras = pytest.importorskip("tf_keras", reason="needs tf-keras, which writes files of Keras 2")
L = tf_keras.layers
ROOT = Path(__file__).parents[3]
SUMMARIES = {repair.name: repair.summary for repair in REPAIRS}
IMAGE = (8, 8, 3)


def functional(shape: tuple[int, ...], *layers: Any) -> Any:
    """A chain of layers as a functional model."""
    inputs = value = tf_keras.Input(shape)
    for layer in layers:
        value = layer(value)
    return tf_keras.Model(inputs, value)


def conv(width: int = 4, **arguments: Any) -> Any:
    return L.Conv2D(width, 3, padding="same", activation="relu", **arguments)


def head() -> list[Any]:
    return [L.GlobalAveragePooling2D(), L.Dense(2)]


def backbone(frozen: bool = False) -> Any:
    model = functional(IMAGE, conv(6), L.BatchNormalization(), L.ReLU(), conv(4))
    model.layers[1].trainable = not frozen
    return model


def sequential(*layers: Any) -> Any:
    return tf_keras.Sequential(list(layers))


def stacked_sequentials() -> Any:
    return sequential(sequential(backbone(), *head()[:1]), sequential(L.Dense(5, input_shape=(4,)), L.Dense(2)))


def siamese() -> Any:
    left, right = tf_keras.Input(IMAGE), tf_keras.Input(IMAGE)
    shared = functional(IMAGE, conv(6), *head())
    first, second = shared(left), shared(right)
    return tf_keras.Model([left, right], [L.Dense(2)(L.Subtract()([first, second])), second, first])


def attention() -> Any:
    inputs = tf_keras.Input((6, 4))
    attended = L.MultiHeadAttention(2, 3)(inputs, inputs)
    scored = L.Attention()([attended, attended])
    return tf_keras.Model(inputs, L.Dense(2)(L.Dense(6)(scored)))


def separable() -> Any:
    return functional(IMAGE, L.SeparableConv2D(6, 3), L.DepthwiseConv2D(3), L.Conv2DTranspose(4, 3), *head())


def recurrent() -> Any:
    video = L.TimeDistributed(conv()), L.TimeDistributed(L.BatchNormalization()), L.TimeDistributed(L.Flatten())
    return functional((3, *IMAGE), *video, L.Bidirectional(L.LSTM(3)), L.Dense(6), L.Dense(2))


def compiled() -> Any:
    model = sequential(conv(input_shape=IMAGE), *head())
    model.compile(tf_keras.optimizers.Adam(1e-3), "mse")
    return model


def as_list(config: Config) -> None:
    config["config"] = config["config"]["layers"][1:]


def without_input(config: Config) -> None:
    for entry in walk(config):
        if entry["class_name"] == "Sequential":
            del entry["config"]["layers"][0]


def without_modules(config: Config) -> None:
    for entry in walk(config):
        for key in ("layer", "backward_layer"):
            for inner in walk(entry["config"].get(key)):
                inner.pop("module", None)
                inner.pop("registered_name", None)


def initializers(config: Config, change: Callable[[Config], None]) -> None:
    for entry in walk(config):
        if entry["class_name"] in ("GlorotUniform", "Zeros"):
            change(entry)


def of_keras_2_15(config: Config) -> None:
    for entry in walk(config):
        entry.update({key: entry[key].removeprefix("tf_") for key in ("module",) if key in entry})


@dataclass(frozen=True)
class File:
    """One file.

    Attributes:
        name: For the test's id.
        repairs: Names of the repairs it needs, all of them.
        build: Makes the tf-keras model.
        edit: Brings the config into an older form.
        suffix: Format.
        weights: Brings the weights of a zip into an older form.
    """

    name: str
    repairs: str
    build: Callable[[], Any]
    edit: Edit = lambda config: None
    suffix: str = ".h5"
    weights: Callable[[Any], None] | None = None


FILES = (
    File("chain", "", lambda: functional(IMAGE, conv(), L.BatchNormalization(), *head())),
    File("depthwise-separable-transposed", "groups separable_kernel", separable),
    File("list", "sequential_list sequential_input", lambda: sequential(conv(input_shape=IMAGE), *head()), as_list),
    File("no-input", "sequential_input", lambda: sequential(conv(input_shape=IMAGE), *head()), without_input),
    File(
        "no-inputs-in-a-stack", "module sequential_input batchnorm_axis nested_tensors",
        stacked_sequentials, without_input,
    ),
    File(
        "initializer-dtype", "initializer_dtype", lambda: functional(IMAGE, conv(), *head()),
        lambda config: initializers(config, lambda entry: entry["config"].update(dtype="float32")),
    ),
    File(
        "unknown-initializer", "unknown_initializer", lambda: functional(IMAGE, conv(), *head()),
        lambda config: initializers(config, lambda entry: entry.update(class_name="Mine", registered_name="Mine")),
    ),
    File("slash", "slash", lambda: functional(IMAGE, conv(name="a/b"), conv(name="a_b"), *head())),
    File("spatial-dropout", "spatial_dropout", lambda: functional(IMAGE, conv(), L.SpatialDropout2D(0.2), *head())),
    File("wrappers", "batchnorm_axis time_major", recurrent),
    File("wrappers-without-module", "inner_module batchnorm_axis time_major", recurrent, without_modules),
    File(
        "teachable-machine", "module batch_input_shape batchnorm_axis nested_tensors", stacked_sequentials,
    ),
    File("nested", "nested_tensors nested_nodes", lambda: functional(IMAGE, backbone(), *head())),
    File("nested-frozen", "nested_tensors nested_nodes", lambda: functional(IMAGE, backbone(frozen=True), *head())),
    File("siamese", "nested_tensors nested_nodes", siamese),
    File("attention", "inner_module attention_shapes keyword_tensors", attention),
    File(
        "augmenting", "rng_type",
        lambda: functional(IMAGE, L.RandomFlip("horizontal"), L.RandomRotation(0.1), conv(), *head()),
    ),
    File("zip", "module", lambda: functional(IMAGE, conv(), *head()), suffix=".keras"),
    File(
        "zip-2.15", "module batchnorm_axis groups separable_kernel",
        lambda: functional(IMAGE, L.SeparableConv2D(6, 3), L.BatchNormalization(), *head()), of_keras_2_15, ".keras",
    ),
    File(
        "zip-sequential", "batch_input_shape batchnorm_axis",
        lambda: sequential(conv(input_shape=IMAGE), L.BatchNormalization(), conv(), *head()), suffix=".keras",
    ),
    File("zip-compiled", "batch_input_shape compiling optimizer", compiled, suffix=".keras"),
    File("zip-attention", "module attention_shapes keyword_tensors", attention, suffix=".keras"),
    File("zip-siamese", "module nested_tensors nested_nodes", siamese, suffix=".keras"),
    File(
        "zip-2.13-weights", "module batchnorm_axis nested_tensors nested_nodes",
        lambda: functional(IMAGE, conv(3), conv(3), backbone(), conv(3), *head()), suffix=".keras", weights=count_twice,
    ),
    File(
        "zip-windows-weights", "module", lambda: functional(IMAGE, conv(3), conv(3), *head()),
        suffix=".keras", weights=with_backslashes,
    ),
)  # fmt: skip


def randomise(model: Any) -> None:
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.dtype.is_floating:
            weight.assign(random.uniform(0.5, 1.5, weight.shape) / np.sqrt(np.prod(weight.shape[:-1])))


def outputs(model: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    result = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(output) for output in (result if isinstance(result, list) else [result])]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_of_keras_2_is_repaired(file: File, tmp_path: Path) -> None:
    original = file.build()
    randomise(original)
    path = tmp_path / f"model{file.suffix}"
    original.save(path)
    edit_file(path, file.edit)
    if file.weights:
        edit_weights(path, file.weights)

    loaded = load(path)
    said = loaded.notes
    expected = [SUMMARIES[name] for name in file.repairs.split()]
    assert {re.sub(r"^repaired: | \(.*places?\)$", "", note) for note in said if note != NOTE} == set(expected)
    assert (NOTE in said) == (file.weights is not None or file.name == "zip-attention")

    random = np.random.default_rng(1)
    inputs = [random.uniform(0, 1, (2, *shape.shape[1:])).astype("float32") for shape in original.inputs]
    for ours, theirs in zip(outputs(loaded.model, inputs), outputs(original, inputs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())

    plan = make_plan(loaded.model, PruningSpec(criterion="random", ratio=0.5))
    pruned = apply_plan(loaded.model, plan)
    assert pruned.count_params() < loaded.model.count_params()
    assert verify(loaded.model, pruned, plan).passed


def test_every_repair_has_a_file() -> None:
    named = [file.repairs for file in FILES] + [settings.repairs for settings in SETTINGS]
    assert {name for names in named for name in names.split()} == set(SUMMARIES)


def test_the_trap_that_repairs_avoid_is_there(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    sequential(L.Dense(4, input_shape=(3,)), L.Dense(2)).save(path)
    edit_file(path, without_input)
    assert keras.saving.load_model(path, compile=False).input_shape == (None, None, 3)
    assert load(path).model.input_shape == (None, 3)


def test_compile_settings_come_along(tmp_path: Path) -> None:
    compiled().save(tmp_path / "model.keras")
    model = load(tmp_path / "model.keras").model
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    assert model.evaluate(np.zeros((2, *IMAGE)), np.zeros((2, 2)), verbose=0) >= 0


def test_hdf5_content_in_a_file_named_keras(tmp_path: Path) -> None:
    functional(IMAGE, conv(), *head()).save(tmp_path / "model.h5")
    path = (tmp_path / "model.h5").rename(tmp_path / "model.keras")
    assert load(path).notes == ("repaired: HDF5 content in a file named .keras is read as HDF5",)


def test_the_documentation_lists_every_repair_and_refusal() -> None:
    text = (ROOT / "docs" / "keras2-files.md").read_text()
    repairs = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert repairs == list(SUMMARIES.items())
    assert [refusal.message for refusal in REFUSALS if refusal.message not in text] == []
