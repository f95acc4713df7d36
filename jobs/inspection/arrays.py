"""The arrays of an .npz: headers parsed by hand, values left alone."""

from __future__ import annotations

import ast
import math
import re
import struct
from collections.abc import Iterable

from jobs.inspection.archive import Archive, damaged
from jobs.record import ArrayInfo
from pruning.errors import DataError

MAGIC = b"\x93NUMPY"
MAX_ARRAYS = 64
MAX_AXES = 5
MAX_HEADER_BYTES = 2048
MAX_BYTES = 16 * 1024**3
MIN_SAMPLES = 2
NAME = re.compile(
    r"(?P<part>[xy]_(?:train|val|test)|sample_weight_train)(?:\.(?P<tensor>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
)
DTYPE = re.compile(r"[<>|=]?(?:f[248]|[iu][1248]|b1)")
KINDS = {"f": "float", "i": "int", "u": "uint"}
EXPECTED_NAMES = (
    "x_train and y_train; optionally x_val with y_val, x_test with y_test, and sample_weight_train; x_train alone "
    "without targets; x_train.<name> for a model with several inputs"
)


def read_arrays(archive: Archive) -> tuple[ArrayInfo, ...]:
    """Return the arrays, or raise `DataError` for what cannot be trained on."""
    if len(archive.members) > MAX_ARRAYS:
        raise DataError(
            "The .npz file has too many arrays.",
            field="file",
            received=f"{len(archive.members)} arrays",
            expected=f"at most {MAX_ARRAYS}",
        )
    parts = _tensor_names(archive.members)
    arrays = {name.removesuffix(".npy"): _read_header(archive, name) for name in archive.members}
    if sum(member.file_size for member in archive.members.values()) > MAX_BYTES:
        raise DataError("The arrays are too large.", field="file", expected=f"at most {MAX_BYTES} bytes unpacked")
    for split in ("train", "val", "test"):
        if f"x_{split}" in parts:
            _check_lengths([array for name, array in arrays.items() if name.split(".")[0].endswith(split)])
    return tuple(arrays[name] for name in sorted(arrays))


def _tensor_names(members: Iterable[str]) -> dict[str, set[str | None]]:
    """Return the names of tensors by part; the one tensor of a plain `x_train` is `None`."""
    parts: dict[str, set[str | None]] = {}
    for member in members:
        match = NAME.fullmatch(member.removesuffix(".npy")) if member.endswith(".npy") else None
        if match is None:
            raise _wrong_names(f"an array named {member.removesuffix('.npy')[:100]!r}")
        parts.setdefault(match["part"], set()).add(match["tensor"])
    if "x_train" not in parts:
        raise _wrong_names("no x_train")
    for part in ("y_val", "y_test", "sample_weight_train"):
        if part in parts and "y_train" not in parts:
            raise _wrong_names(f"{part} without y_train")
    for split in ("val", "test"):
        if "y_train" in parts and (f"x_{split}" in parts) != (f"y_{split}" in parts):
            raise _wrong_names(f"only one of x_{split} and y_{split}")
    for part, tensors in parts.items():
        if None in tensors and len(tensors) > 1:
            raise _wrong_names(f"both {part} and {part}.<name>")
        if part[0] in "xy" and tensors != parts[f"{part[0]}_train"]:
            raise _wrong_names(f"other names in {part} than in {part[0]}_train")
    return parts


def _wrong_names(received: str) -> DataError:
    return DataError(
        f"The .npz file has the wrong arrays: {received}.",
        field="file",
        received=received,
        expected=EXPECTED_NAMES,
        hint="Save them with numpy.savez('data.npz', x_train=…, y_train=…).",
    )


def _read_header(archive: Archive, member: str) -> ArrayInfo:
    name = member.removesuffix(".npy")
    start = archive.read_start(member, 12 + MAX_HEADER_BYTES)
    if start[:6] != MAGIC or len(start) < 12 or start[6] not in (1, 2, 3):
        raise damaged(DataError, f"the member {member!r} is not an .npy file")
    length_bytes = 2 if start[6] == 1 else 4
    (header_bytes,) = struct.unpack_from("<H" if length_bytes == 2 else "<I", start, 8)
    data_offset = 8 + length_bytes + header_bytes
    try:
        header = ast.literal_eval(start[8 + length_bytes : data_offset].decode())
        dtype, shape = header["descr"], header["shape"]
        is_header = isinstance(header["fortran_order"], bool) and isinstance(shape, tuple)
        is_header = is_header and all(type(length) is int and length >= 0 for length in shape)
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        is_header = False
    if header_bytes > MAX_HEADER_BYTES or not is_header:
        raise damaged(DataError, f"the header of {member!r} is unreadable")
    if not isinstance(dtype, str) or not DTYPE.fullmatch(dtype):
        raise DataError(
            f"The dtype of {name} is not supported.",
            field=name,
            received=f"dtype {str(dtype)[:60]!r}",
            expected="float, int, uint or bool of at most 8 bytes",
            hint=f"Convert it first, for example {name}.astype('float32'). Encode strings and classes as integers.",
        )
    if not 1 <= len(shape) <= MAX_AXES:
        raise DataError(
            f"The shape of {name} is not supported.",
            field=name,
            received=f"shape {shape[:8]}",
            expected=f"1 to {MAX_AXES} axes with samples first",
        )
    if data_offset + math.prod(shape) * int(dtype[-1]) != archive.members[member].file_size:
        raise damaged(DataError, f"the size of {member!r} does not match its shape {shape}")
    return ArrayInfo(name=name, dtype=_dtype_name(dtype), shape=shape)


def _dtype_name(dtype: str) -> str:
    kind, size_bytes = dtype[-2], int(dtype[-1])
    return "bool" if kind == "b" else f"{KINDS[kind]}{8 * size_bytes}"


def _check_lengths(arrays: list[ArrayInfo]) -> None:
    lengths = {array.name: array.shape[0] for array in arrays}
    if len(set(lengths.values())) > 1:
        raise DataError(
            "Arrays of the same split have different lengths.",
            field=", ".join(lengths),
            received=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            expected="the same number of samples in each",
        )
    if min(lengths.values()) < MIN_SAMPLES:
        raise DataError(
            "The dataset has too few samples.",
            field=", ".join(lengths),
            received=f"{min(lengths.values())} samples",
            expected=f"at least {MIN_SAMPLES}",
        )
