"""From the name of a format to the format, if this installation can write and run it."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import keras

from pruning.catalog import EXPORT_FORMATS, ExportFormatEntry
from pruning.errors import SpecError
from pruning.export.base import ExportFormat, Runner


def resolve_format(name: str) -> ExportFormat:
    """Return an export format by name.

    Raises:
        SpecError: There is none of this name, or a package that it needs is not installed.
    """
    entry = entry_of(name)
    missing = [module for module in entry.modules if importlib.util.find_spec(module) is None]
    if missing:
        raise SpecError(
            f"The format {name!r} needs packages that are not installed.",
            field="format",
            received=f"no {', '.join(missing)}",
            expected=", ".join(entry.modules),
            hint=f"pip install 'ridurre[{entry.extra}]'",
        )
    module, _, class_name = entry.path.partition(":")
    made: ExportFormat = getattr(importlib.import_module(module), class_name)()
    return made


def require_writable(name: str, precision: str) -> None:
    """Refuse a format that Keras's backend cannot write, or a precision that the format does not have.

    Raises:
        SpecError: Either is so.
    """
    entry, backend = entry_of(name), keras.backend.backend()
    if entry.backends and backend not in entry.backends:
        raise SpecError(
            f"The format {name!r} does not support this Keras backend.",
            field="format",
            received=f"the backend {backend}",
            expected=f"the backend {' or '.join(entry.backends)}",
            hint=f"Save the model as .keras and export it with KERAS_BACKEND={entry.backends[0]}.",
        )
    if precision not in entry.precisions:
        raise SpecError(
            f"The format {name!r} does not support this precision.",
            field="precision",
            received=precision,
            expected=f"one of {', '.join(entry.precisions)}",
        )


def runner(path: str | Path, format: str, *, num_threads: int | None = None) -> Runner:
    """Open an exported file to run it: `runner(path, format)(inputs) -> outputs`.

    Args:
        path: The file, or the folder of a SavedModel.
        format: One of `pruning.catalog.EXPORT_FORMATS`.
        num_threads: How many threads compute; `None` leaves it to the runtime.

    Raises:
        SpecError: The format is not known, its packages are missing, or its runtime takes no number of threads.
    """
    return resolve_format(format).open(Path(path), num_threads=num_threads)


def entry_of(name: str) -> ExportFormatEntry:
    """Return a format's row in the catalog.

    Raises:
        SpecError: There is none.
    """
    if name not in EXPORT_FORMATS:
        raise SpecError(
            "Unknown export format.",
            field="format",
            received=repr(name),
            expected=f"one of {', '.join(EXPORT_FORMATS)}",
        )
    return EXPORT_FORMATS[name]
