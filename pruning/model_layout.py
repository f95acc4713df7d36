"""How a model file is laid out, by its bytes and names alone: an upload and its job see the same model."""

from __future__ import annotations

from typing import Literal

from pruning.zip_layout import ZIP_MAGIC

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
"""The members of a `.keras` file."""
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"

Format = Literal["keras", "h5"]


def format_of(start: bytes) -> Format | None:
    """Return the format of a file, whatever its name, from its first bytes, `len(HDF5_MAGIC)` at least.

    A zip is taken for a `.keras` file; what starts otherwise is no model.
    """
    if start.startswith(ZIP_MAGIC):
        return "keras"
    return "h5" if start.startswith(HDF5_MAGIC) else None
