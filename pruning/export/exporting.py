"""Write a model in another format, and keep the file only if it computes the same."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pruning.datasets.data import Arrays, Data, Inputs
from pruning.datasets.rows import taken
from pruning.errors import ExportError, PruningError, SpecError, VerificationError, first_line
from pruning.export.base import ExportFormat, Named, Runner
from pruning.export.formats import entry_of, require_writable, resolve_format
from pruning.export.parity import Parity, batches_of, in_file_names
from pruning.keras_model.graph import inputs_by_name, require_graph
from pruning.keras_model.parts import layers_inside
from pruning.proof.random_inputs import flat_arrays, usable_inputs

TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "int8": 0.5}
"""Largest relative difference accepted, by precision. Other runtimes add up in another order than Keras does."""

COMPUTE_TOLERANCES = {"float16": 2e-2, "bfloat16": 1e-1}
"""The same by the type that layers compute in, where it is that of half precision: another order rounds otherwise."""

_SAVED_MODEL = {"saved_model.pb", "fingerprint.pb", "assets", "assets.extra", "variables"}

_NUM_CALIBRATION_SAMPLES = 128
_NUM_REAL_SAMPLES = 128


@dataclass(frozen=True)
class ExportResult:
    """An exported file and how close it comes to the model.

    Attributes:
        path: The file, or the folder.
        format: One of `pruning.catalog.EXPORT_FORMATS`.
        precision: Number format of the weights.
        num_bytes: Size of all that was written.
        max_relative_difference: Largest absolute difference over the largest absolute value of a sample, over all
            samples and outputs, on random and real input. On real input alone in int8, whose ranges are those of
            real input.
        tolerance: Largest difference that was accepted.
        metrics: Loss and metrics of the file on labelled data: on the validation set as `val_…`, or where there is
            none on the training set by their plain names; empty without.
        model_metrics: The same of the model in Keras.
    """

    path: Path
    format: str
    precision: str
    num_bytes: int
    max_relative_difference: float
    tolerance: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    model_metrics: Mapping[str, float] = field(default_factory=dict)


def export_model(
    model: keras.Model,
    path: str | Path,
    format: str,
    *,
    precision: str = "float32",
    inputs: Any = None,
    data: Any = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> ExportResult:
    """Write a model in another format and check that it computes the same there.

    Args:
        model: A functional or Sequential model; not changed.
        path: Where to write; its name ends as the format asks. What is there is replaced if it is of the same kind, a
            file or a SavedModel, and all goes well; it is left alone otherwise.
        format: One of `pruning.catalog.EXPORT_FORMATS`.
        precision: One of those that the format has.
        inputs: Real inputs without labels: one array, or several by name. In int8 they, or `data`, show in which
            range the activations lie.
        data: Labelled data as `Data.of` takes it, to measure loss and metrics of file and model.
        tolerance: Largest relative difference accepted; default: `TOLERANCES` for the precision, or
            `COMPUTE_TOLERANCES` if the model computes in half precision.
        seed: Seed of the random inputs and of the choice among the real ones.

    Raises:
        SpecError: The format or precision is not known, needs another backend or packages that are not installed,
            or int8 has no samples.
        DataError: The data does not fit the model.
        ExportError: The format cannot hold the model, or something else is at `path`, or nothing can be written there.
        VerificationError: The file does not compute what the model computes.
    """
    require_graph(model)
    path = Path(path)
    require_writable(format, precision)
    exporter = resolve_format(format)
    _require_target(path, entry_of(format).suffix)
    labelled = None if data is None else Data.of(data).fit_to(model)
    real = None if inputs is None else Data.of_inputs(inputs).fit_to(model).x_train
    samples = _calibration(model, real, labelled, precision, seed)
    tolerance = _tolerance(model, precision) if tolerance is None else tolerance
    with _folder_beside(path) as directory:
        written = Path(directory, path.name)
        parity = Parity(model, _write_and_open(exporter, model, written, precision, samples))
        tried = _inputs_to_try(model, real, labelled, seed, with_random=precision != "int8")
        difference = max(_guarded("run", lambda each=each: parity.difference(each)) for each in tried)
        if not difference <= tolerance:
            raise VerificationError(
                f"The outputs of the exported {format} file differ from the model's.",
                field="model",
                received=f"relative difference {difference:.2e} in {precision}",
                expected=f"at most {tolerance:.0e}",
                hint="Nothing was written. Try another precision or more representative inputs, or set a larger "
                "`tolerance`.",
            )
        model_metrics, metrics = ({}, {}) if labelled is None else parity.metrics(labelled)
        num_bytes = sum(file.stat().st_size for file in Path(directory).rglob("*") if file.is_file())
        _move_all(Path(directory), path.parent)
    return ExportResult(path, format, precision, num_bytes, difference, tolerance, metrics, model_metrics)


def _tolerance(model: keras.Model, precision: str) -> float:
    types = {layer.compute_dtype for layer in layers_inside(model)}
    return max(TOLERANCES[precision], *(COMPUTE_TOLERANCES.get(each, 0.0) for each in types))


def _require_target(path: Path, suffix: str) -> None:
    if path.name in ("", ".."):
        raise ExportError(
            "The path has no file name.",
            field="path",
            received=str(path),
            expected="a name at its end",
            hint="Use a path with a name, such as ./model.",
        )
    if path.suffix != suffix and suffix:
        raise SpecError(
            "The file name has the wrong suffix for its format.",
            field="path",
            received=path.name,
            expected=f"a name that ends in {suffix}",
        )
    if not path.parent.is_dir():
        raise SpecError(
            "The output folder does not exist.", field="path", received=str(path.parent), expected="a folder"
        )
    _require_alike(path, is_folder=not suffix)


def _require_alike(path: Path, *, is_folder: bool) -> None:
    """Refuse to put a file, or a SavedModel, in the place of anything else."""
    if not path.exists():
        return
    if not is_folder:
        alike, expected = not path.is_dir(), "a file, or nothing"
    else:
        names = {entry.name for entry in path.iterdir()} if path.is_dir() and not path.is_symlink() else {""}
        alike = not names or ("saved_model.pb" in names and names <= _SAVED_MODEL)
        expected = "a SavedModel, an empty folder, or a new path"
    if not alike:
        raise ExportError(
            "The output path already exists and is not overwritten.",
            field="path",
            received=f"{path}, {'a folder' if path.is_dir() else 'a file'}",
            expected=expected,
            hint="Choose another name, or move the existing file or folder.",
        )


def _folder_beside(path: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ExportError(
            "Cannot write to the output folder.",
            field="path",
            received=f"{path.parent}: {type(error).__name__}: {first_line(error)}",
            expected="a writable folder",
        ) from error


def _calibration(
    model: keras.Model, real: Inputs | None, labelled: Data | None, precision: str, seed: int
) -> Sequence[Named]:
    """Return batches of representative inputs by the names that the converter knows; none unless for int8."""
    if precision != "int8":
        return ()
    arrays = real if real is not None else None if labelled is None else labelled.x_train
    if arrays is None:
        raise SpecError(
            "int8 needs samples to calibrate the range of activations.",
            field="inputs",
            received="nothing",
            expected="about 100 real inputs",
            hint="Set inputs=… or data=….",
        )
    tensors = inputs_by_name(model)
    chosen = _choose(arrays, max(_NUM_CALIBRATION_SAMPLES, _fixed_size(model)), seed)
    return [in_file_names(batch, tensors) for batch in batches_of(chosen, tensors, 1)]


def _inputs_to_try(
    model: keras.Model, real: Inputs | None, labelled: Data | None, seed: int, *, with_random: bool
) -> list[Arrays]:
    tried = []
    if with_random:
        structure, _ = usable_inputs(
            model, lambda arrays: flat_arrays(model(arrays, training=False)), num_samples=4, seed=seed
        )
        tried.append(dict(zip(inputs_by_name(model), keras.tree.flatten(structure), strict=True)))
    if real is None and labelled is not None:
        real = labelled.x_val or labelled.x_train
    if real is not None:
        tried.append(_choose(real, max(_NUM_REAL_SAMPLES, _fixed_size(model)), seed + 1))
    return tried


def _fixed_size(model: keras.Model) -> int:
    """Return the batch size that a model has of its own, or 0."""
    return next(iter(inputs_by_name(model).values())).shape[0] or 0


def _choose(inputs: Inputs, count: int, seed: int) -> Arrays:
    length = len(next(iter(inputs.values())))
    return taken(inputs, np.sort(np.random.default_rng(seed).permutation(length)[:count]))


def _write_and_open(
    exporter: ExportFormat, model: keras.Model, path: Path, precision: str, samples: Sequence[Named]
) -> Runner:
    with warnings.catch_warnings():
        # The converters warn of their own deprecated parts.
        warnings.simplefilter("ignore")
        _guarded("write", lambda: exporter.write(model, path, precision, samples))
        opened: Runner = _guarded("open", lambda: exporter.open(path))
    return opened


def _guarded(step: str, run: Any) -> Any:
    try:
        return run()
    except PruningError:
        raise
    except Exception as error:
        # Each converter and each runtime has its own errors for what it does not know.
        raise ExportError(
            f"The format does not support the model: it failed to {step} it.",
            field="model",
            received=f"{type(error).__name__}: {first_line(error)}",
            expected="layers that the format supports",
        ) from error


def _move_all(source: Path, target: Path) -> None:
    """Move everything from one folder into another on the same disk, in the place of what has the same name."""
    entries = sorted(source.iterdir())
    for entry in entries:
        _require_alike(target / entry.name, is_folder=entry.is_dir())
    for entry in entries:
        destination = target / entry.name
        if destination.is_dir():
            shutil.rmtree(destination)
        entry.replace(destination)
