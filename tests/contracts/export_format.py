"""What every export format has to do; a format earns the suite by its row in the catalog."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pruning.catalog import EXPORT_FORMATS
from pruning.errors import SpecError, VerificationError
from pruning.export import ExportResult, export_model, runner
from pruning.measure import latency

FORMATS = [
    name for name, entry in EXPORT_FORMATS.items() if not entry.backends or keras.backend.backend() in entry.backends
]


def target(directory: Path, format: str) -> Path:
    """Return where a file of this format may lie."""
    return directory / f"model{EXPORT_FORMATS[format].suffix}"


class ExportFormatContract:
    """Inherit and give `single`, a model with one input and output, and `multiple`, one with several of either."""

    @pytest.fixture(scope="class", params=FORMATS)
    @classmethod
    def format(cls, request: pytest.FixtureRequest) -> str:
        for module in EXPORT_FORMATS[request.param].modules:
            pytest.importorskip(module)
        return str(request.param)

    @pytest.fixture(scope="class")
    @classmethod
    def written(cls, format: str, single: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
        """A file in the place of another one."""
        path = target(tmp_path_factory.mktemp(format), format)
        path.mkdir() if not EXPORT_FORMATS[format].suffix else path.write_text("old")
        return export_model(single, path, format)

    def test_the_file_computes_the_same_in_batches_of_any_size(
        self, format: str, written: ExportResult, single: keras.Model
    ) -> None:
        assert written.max_relative_difference <= written.tolerance
        run = runner(written.path, format)
        for batch_size in (1, 5):
            images = np.random.default_rng(batch_size).random((batch_size, *single.input_shape[1:]), dtype="float32")
            (outputs,) = run({run.inputs[0].name: images})
            np.testing.assert_allclose(outputs, np.asarray(single(images, training=False)), rtol=1e-3, atol=1e-4)

    def test_the_result_tells_what_was_written(self, format: str, written: ExportResult) -> None:
        files = [file for file in written.path.parent.rglob("*") if file.is_file()]
        assert written.num_bytes == sum(file.stat().st_size for file in files) > 0
        assert {file.relative_to(written.path.parent).parts[0].split(".")[0] for file in files} == {"model"}

    def test_several_inputs_and_outputs_keep_their_names_and_order(
        self, format: str, multiple: keras.Model, tmp_path: Path
    ) -> None:
        export_model(multiple, target(tmp_path, format), format)
        run = runner(target(tmp_path, format), format)
        arrays = {tensor.name: np.ones((2, *tensor.shape[1:]), "float32") * index for index, tensor in
                  enumerate(multiple.inputs)}  # fmt: skip
        expected = [np.asarray(output) for output in keras.tree.flatten(multiple(list(arrays.values())))]
        outputs = run(arrays)
        assert {spec.name for spec in run.inputs} == set(arrays)
        for left, right in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-4)

    def test_a_file_that_differs_is_an_error_and_leaves_everything_as_it_was(
        self, format: str, single: keras.Model, tmp_path: Path
    ) -> None:
        kept = target(tmp_path, format)
        if not EXPORT_FORMATS[format].suffix:
            kept.mkdir()
            kept = kept / "saved_model.pb"
        kept.write_text("kept")
        before, config = [np.array(each) for each in single.variables], single.to_json()
        with pytest.raises(VerificationError, match="differ from the model"):
            export_model(single, target(tmp_path, format), format, tolerance=-1.0)
        assert [entry.read_text() for entry in tmp_path.rglob("*") if entry.is_file()] == ["kept"]
        assert list(tmp_path.iterdir()) == [target(tmp_path, format)]
        assert all(np.array_equal(old, np.array(new)) for old, new in zip(before, single.variables, strict=True))
        assert single.to_json() == config

    def test_another_ending_is_refused(self, format: str, single: keras.Model, tmp_path: Path) -> None:
        if not EXPORT_FORMATS[format].suffix:
            pytest.skip("a folder may have any name")
        with pytest.raises(SpecError, match=r"wrong suffix"):
            export_model(single, tmp_path / "model.other", format)

    def test_missing_packages_are_named_with_what_installs_them(
        self, format: str, single: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not EXPORT_FORMATS[format].modules:
            pytest.skip("it needs none")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(SpecError, match=r"pip install 'ridurre\[\w+\]'"):
            export_model(single, target(tmp_path, format), format)

    def test_its_latency_can_be_measured(self, format: str, single: keras.Model) -> None:
        assert latency(single, runtime=format, num_warmup=1, num_calls=5).seconds > 0
