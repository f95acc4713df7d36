"""Arrays of an `.npz`, which stay on disk."""

from __future__ import annotations

import lzma
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pruning.datasets.data import Data
from pruning.errors import DataError, first_line

_HEADER_BYTES = 30
"""Of a member of a zip, before its name; the lengths of name and extra field are the last two numbers of it."""
_PART_BYTES = 1 << 20
# What NumPy and zipfile raise over a file that is none, is encrypted, or compressed in a way of its own.
UNREADABLE = (
    ValueError, OSError, EOFError, KeyError, TypeError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


def load_npz(path: Path, scratch: Path) -> Data:
    """Map `x_train, y_train` and perhaps `x_val, y_val`, or `x_train.<name>` with several inputs; targets may lack.

    What `numpy.savez` wrote is mapped where it lies in the file; what is compressed is extracted first.

    Args:
        path: The file; it has to stay where it is.
        scratch: Folder on the disk where extracted arrays are to lie, in files without names.

    Raises:
        DataError: The file is damaged, or an array has a wrong name, type or length.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {
                info.filename.removesuffix(".npy"): _mapped(path, archive, info, scratch) for info in archive.infolist()
            }
    except UNREADABLE as error:
        raise DataError(
            "Cannot read the .npz file.",
            field="dataset",
            received=first_line(error, 200),
            expected="arrays of numbers saved with numpy.savez",
        ) from error
    return Data.of(arrays)


def _mapped(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, scratch: Path) -> np.ndarray:
    is_stored = info.compress_type == zipfile.ZIP_STORED
    with archive.open(info) as member, tempfile.TemporaryFile(dir=scratch) as extracted, path.open("rb") as stored:
        for part in iter(lambda: member.read(_PART_BYTES), b""):  # The whole is read: that checks its sum.
            if not is_stored:
                extracted.write(part)
        file, offset = (stored, _offset(stored, info)) if is_stored else (extracted, 0)
        file.seek(offset)
        shape, fortran_order, dtype = _header(file)
        begin, end = file.tell(), offset + info.file_size
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded")
        if begin + dtype.itemsize * int(np.prod(shape, dtype=np.int64)) != end:
            raise ValueError(f"the length of {info.filename} does not match its header")
        if not all(shape):
            return np.empty(shape, dtype)
        # What is mapped stays though the file is closed, and what is extracted has no name.
        return np.memmap(file, dtype, "r", begin, shape, "F" if fortran_order else "C")


def _offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of a stored member begin."""
    file.seek(info.header_offset)
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("Bad magic number for file header")
    lengths = np.frombuffer(header, "<u2", 2, _HEADER_BYTES - 4)
    return int(info.header_offset + _HEADER_BYTES + lengths.sum(dtype=np.int64))


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    reads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in reads:
        raise ValueError(f"unknown array format {version}")
    shape, fortran_order, dtype = reads[version](file)
    return shape, fortran_order, dtype
