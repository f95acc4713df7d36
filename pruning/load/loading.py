"""Loading: inspect, repair what Keras 2 wrote, let Keras build it, check the weights."""

from __future__ import annotations

import re
import tempfile
import warnings
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from pruning.errors import ModelError
from pruning.keras_model.finite import require_finite
from pruning.keras_model.hdf5 import restore_optimizer
from pruning.keras_model.lost_loss import tell_lost_loss
from pruning.load.archive import ModelFile
from pruning.load.compiling import compile_as_saved
from pruning.load.refusals import refuse
from pruning.load.repairs import repaired
from pruning.load.weight_paths import NOTE, move_weights
from pruning.model_layout import HDF5_MAGIC, format_of

_KERAS_ERRORS = (
    AttributeError, ImportError, IndexError, KeyError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError
)  # fmt: skip
"""What Keras raises on files it cannot load."""
_MISSING = re.compile(r"Could not locate (class|function) '[^']{1,80}'|Unknown layer: '?[^'.]{1,80}'?")


@dataclass(frozen=True)
class LoadedModel:
    """A model and what had to be said about its file.

    Attributes:
        model: The model, compiled if the file says how.
        notes: Lines for the report.
    """

    model: keras.Model
    notes: tuple[str, ...]


def load_model(path: str | Path) -> keras.Model:
    """Load a `.keras` or `.h5` model; see `load`."""
    return load(path).model


def load(path: str | Path) -> LoadedModel:
    """Load a model file, whatever its name: the first bytes tell its format.

    Raises:
        ModelError: It is no model file, is damaged, or holds something that Keras cannot build.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(HDF5_MAGIC))
    except OSError as error:
        raise ModelError(f"Cannot read the model file: {error.strerror}.", field="model", received=path.name) from error
    format = format_of(start)
    if format is None:
        raise ModelError(
            "The file is not a Keras model.",
            field="model",
            received=f"{path.name}, which starts with {start!r}",
            expected="a .keras archive or an HDF5 file",
            hint="Save the model with model.save('model.keras').",
        )
    with tempfile.TemporaryDirectory() as directory:
        named = path if path.suffix == f".{format}" else Path(directory, f"model.{format}")
        if named != path:
            named.symlink_to(path.absolute())
        try:
            ready, notes = _prepare(named, Path(directory))
        except (*_KERAS_ERRORS, zipfile.BadZipFile, RecursionError) as error:
            raise _refusal(error) from error
        if format == "h5" and path.suffix == ".keras":
            notes = ("repaired: HDF5 content in a file named .keras is read as HDF5", *notes)
        loaded = _load(ready)
    require_finite(loaded.model)
    return LoadedModel(loaded.model, (*notes, *loaded.notes))


def _prepare(path: Path, directory: Path) -> tuple[ModelFile, tuple[str, ...]]:
    """Return a file that Keras 3 reads as it was meant, and what had to be repaired."""
    file = ModelFile.read(path)
    refuse(file.config)
    if not file.from_keras_2:
        return file, ()
    config, notes = repaired(file.config)
    if notes:
        file = replace(file, path=file.write(config, directory), config=config)
    moved = file.with_weights(move_weights, directory)
    return (replace(file, path=moved), (*notes, NOTE)) if moved else (file, notes)


def _load(file: ModelFile) -> LoadedModel:
    with warnings.catch_warnings():
        # That a file holds no optimizer state, or an older format, needs no warning here.
        warnings.simplefilter("ignore")
        if file.path.suffix == ".h5":
            return _load_hdf5(file)
        try:
            return LoadedModel(keras.saving.load_model(file.path), ())
        except _KERAS_ERRORS as error:
            compiled_error = error
        model = _built(file)
    lost = f"the model's compile settings could not be restored: {_brief(compiled_error)}"
    tell_lost_loss(model, lost)
    return LoadedModel(model, (lost,))


def _load_hdf5(file: ModelFile) -> LoadedModel:
    model, settings = _built(file), file.config.get("compile_config")
    if settings is None:
        return LoadedModel(model, ())
    notes = compile_as_saved(model, settings)
    if model.compiled and not restore_optimizer(model, file.path):
        notes = (
            *notes,
            "the optimizer state was reset, because the state in the file does not match the model's variables",
        )
    return LoadedModel(model, notes)


def _built(file: ModelFile) -> keras.Model:
    """Return the model of a file, not compiled."""
    try:
        model: keras.Model = keras.saving.load_model(file.path, compile=False)
    except _KERAS_ERRORS as error:
        raise _refusal(error) from error
    return model


def _refusal(error: Exception) -> ModelError:
    text = str(error)
    if _MISSING.search(text):
        return ModelError(
            "The model contains a custom class or function.",
            field="model",
            received=_brief(error),
            expected="a functional or Sequential model of built-in Keras layers",
            hint="Replace custom layers, functions and subclassed models by built-in Keras layers.",
        )
    return ModelError(
        "Keras cannot load the model.",
        field="model",
        received=_brief(error),
        expected="a model of built-in Keras layers that keras.saving.load_model can load",
        hint="Check that it loads with the latest Keras 3. Custom classes are not supported.",
    )


def _brief(error: Exception) -> str:
    """Return what Keras says, without the config that its messages often hold."""
    text = str(error)
    missing = _MISSING.search(text)
    lines = [missing.group()] if missing else text.strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
