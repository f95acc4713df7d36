"""Export: the contract for all formats, and what is special about some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import export_model
from pruning.errors import DataError, ExportError, SpecError, VerificationError
from pruning.export import median_seconds, runner
from pruning.figures import of_validation
from tests.contracts.export_format import ExportFormatContract, target
from tests.pruning.models import blobs, residual
from tests.strategies import randomise

tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other formats need TensorFlow")


class TestCatalogued(ExportFormatContract):
    @pytest.fixture(scope="class")
    @classmethod
    def single(cls) -> keras.Model:
        return residual(compiled=True)

    @pytest.fixture(scope="class")
    @classmethod
    def multiple(cls) -> keras.Model:
        """Two inputs in no alphabetical order, and so many outputs of one shape that `10` sorts before `2`."""
        right, left = keras.Input((4,), name="right"), keras.Input((4,), name="left")
        hidden = layers.Concatenate()([layers.Dense(3)(right), left])
        model = keras.Model([right, left], [layers.Dense(2)(hidden) for _ in range(12)])
        randomise(model, seed=0)
        return model


@tensorflow_only
def test_only_what_is_of_the_same_kind_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    monkeypatch.chdir(tmp_path)
    mine = [tmp_path / name / "mine.txt" for name in ("assets", "variables", "folder", "folder.onnx", "folder.keras")]
    for file in mine:
        file.parent.mkdir()
        file.write_text("mine")
    file = tmp_path / "file"
    file.write_text("mine")
    refused = [(path, "saved_model") for path in (".", "..", "folder", "folder/..", "assets/", "file")]
    for path, format in [*refused, ("folder.onnx", "onnx"), ("folder.keras", "keras"), ("/proc/x.keras", "keras")]:
        with pytest.raises(ExportError) as caught:
            export_model(model, path, format)
        assert caught.value.field == "path"
    assert all(file.read_text() == "mine" for file in [*mine, file])
    assert len(list(tmp_path.iterdir())) == len(mine) + 1
    (tmp_path / "model").mkdir()
    for _ in range(2):  # Into an empty folder, and over a SavedModel.
        export_model(model, "model", "saved_model")
        assert (tmp_path / "model" / "saved_model.pb").is_file()
    (tmp_path / "model" / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="already exists"):
        export_model(model, "model", "saved_model")


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 2e-2), ("mixed_bfloat16", 1e-1)])
def test_models_that_compute_in_half_precision_may_differ_by_their_rounding(
    policy: str, tolerance: float, tmp_path: Path
) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, dtype=policy), layers.Dense(1)])
    assert export_model(model, tmp_path / "model.keras", "keras").tolerance == tolerance


def test_names_that_differ_by_their_marks_are_told_apart(tmp_path: Path) -> None:
    inputs = [keras.Input((3,), name=name) for name in ("a.b", "a-b")]
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(inputs)))
    assert export_model(model, tmp_path / "model.keras", "keras").max_relative_difference <= 1e-6


def test_too_few_samples_for_a_fixed_batch_are_counted(tmp_path: Path) -> None:
    inputs = keras.Input(batch_shape=(9, 3))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    with pytest.raises(DataError, match="fewer samples") as caught:
        export_model(model, tmp_path / "model.keras", "keras", inputs=np.ones((5, 3), "float32"))
    assert caught.value.received == "5 samples"


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    model = residual(compiled=True)
    model.fit(*blobs(256), epochs=4, batch_size=32, verbose=0)
    return model


@tensorflow_only
def test_litert_in_lower_precision_reports_its_metrics_beside_those_of_the_model(
    trained: keras.Model, tmp_path: Path
) -> None:
    data = (blobs(64), blobs(100, seed=5))
    results = {
        precision: export_model(trained, tmp_path / f"{precision}.tflite", "litert", precision=precision, data=data)
        for precision in ("float32", "float16", "int8")
    }
    expected = of_validation(trained.evaluate(*data[1], verbose=0, return_dict=True))
    for result in results.values():
        assert result.max_relative_difference <= result.tolerance
        assert result.model_metrics == pytest.approx(expected, rel=1e-3)
        (outputs,) = runner(result.path, "litert")({"image": data[1][0]})
        assert result.metrics["val_accuracy"] == pytest.approx(np.mean(outputs.argmax(axis=1) == data[1][1]), abs=1e-6)
    assert max(results["float16"].num_bytes, results["int8"].num_bytes) < results["float32"].num_bytes
    assert results["int8"].max_relative_difference > results["float32"].max_relative_difference


def test_without_validation_data_the_figures_are_those_of_the_training_set(
    trained: keras.Model, tmp_path: Path
) -> None:
    result = export_model(trained, tmp_path / "model.keras", "keras", data=blobs(64))
    assert set(result.metrics) == set(result.model_metrics) == {"loss", "accuracy"}


@tensorflow_only
def test_int8_needs_samples(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="samples"):
        export_model(residual(), tmp_path / "model.tflite", "litert", precision="int8")


@tensorflow_only
def test_int8_calibrated_on_the_wrong_inputs_is_refused(trained: keras.Model, tmp_path: Path) -> None:
    images, labels = blobs(64)
    with pytest.raises(VerificationError, match="int8"):
        export_model(
            trained, tmp_path / "model.tflite", "litert", precision="int8", inputs=1e-3 * images,
            data=(images, labels), tolerance=1e-3,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_metrics_of_several_outputs_go_by_name(tmp_path: Path) -> None:
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, {"b": layers.Dense(2, activation="softmax")(inputs), "a": layers.Dense(1)(inputs)})
    model.compile("sgd", {"a": "mse", "b": "sparse_categorical_crossentropy"}, metrics={"b": ["accuracy"]})
    x = np.random.default_rng(0).random((10, 4)).astype("float32")
    y = {"a": x[:, :1], "b": (x[:, 0] > 0.5).astype("int64")}
    result = export_model(model, tmp_path / "model.keras", "keras", data=(x, y))
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    assert result.metrics == pytest.approx(expected, rel=1e-4)
    assert result.model_metrics == pytest.approx(expected, rel=1e-4)


@tensorflow_only
def test_an_operation_that_the_format_does_not_know_is_an_error(tmp_path: Path) -> None:
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.ops.real(keras.ops.ifft2((inputs[:, None, :], inputs[:, None, :]))[0]))
    with pytest.raises(ExportError, match="does not support the model"):
        export_model(model, tmp_path / "model.tflite", "litert")
    assert not list(tmp_path.iterdir())


@tensorflow_only
@pytest.mark.parametrize("format", ["litert", "onnx", "openvino"])
def test_what_a_normalization_keeps_beside_its_weights_goes_into_the_file(format: str, tmp_path: Path) -> None:
    pytest.importorskip({"litert": "ai_edge_litert", "onnx": "tf2onnx", "openvino": "openvino"}[format])
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(5, 3, (50, 6)))
    model = keras.Sequential([keras.Input((6,)), normalization, layers.Dense(2)])
    result = export_model(model, target(tmp_path, format), format)
    assert len(runner(result.path, format).inputs) == 1


@tensorflow_only
def test_a_model_with_a_batch_size_of_its_own_is_compared_in_such_batches(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input(batch_shape=(3, 6)), layers.Dense(4), layers.Dense(2)])
    real = np.random.default_rng(0).random((7, 6)).astype("float32")
    export_model(model, tmp_path / "model.onnx", "onnx", inputs=real)
    run = runner(tmp_path / "model.onnx", "onnx")
    (outputs,) = run({run.inputs[0].name: real[:3]})
    np.testing.assert_allclose(outputs, np.asarray(model(real[:3])), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="every format can be written")
def test_other_backends_are_told_which_one_writes_a_format(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="KERAS_BACKEND=tensorflow"):
        export_model(residual(), tmp_path / "model.onnx", "onnx")


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("model.xyz", "nonsense"), {}, SpecError),
        (("model.keras", "keras"), {"precision": "int8"}, SpecError),
        (("absent/model.keras", "keras"), {}, SpecError),
        (("model.keras", "keras"), {"inputs": np.ones((2, 5, 5, 3))}, DataError),
        (("model.keras", "keras"), {"inputs": np.full((2, 8, 8, 3), np.nan)}, DataError),
        (("model.keras", "keras"), {"inputs": np.ones((0, 8, 8, 3))}, DataError),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, arguments: tuple[str, str], options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        export_model(residual(), tmp_path / arguments[0], arguments[1], **options)
    assert not list(tmp_path.iterdir())


def test_threads_of_the_whole_process_cannot_be_set_for_one_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="threads"):
        runner(tmp_path / "model.keras", "keras", num_threads=1)


def test_calls_are_timed_in_turns() -> None:
    seen: list[str] = []
    medians = median_seconds([lambda: seen.append("a"), lambda: seen.append("b")], num_warmups=1, num_calls=3)
    assert seen == ["a", "b"] + ["a", "b"] * 3
    assert all(seconds >= 0 for seconds in medians)
