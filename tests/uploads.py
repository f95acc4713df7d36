"""Small uploads for tests, made with the standard library."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(100)


def layer(class_name: str, name: str, **config: Any) -> dict[str, Any]:
    """Return a layer as config.json spells it."""
    return {"module": "keras.layers", "class_name": class_name, "config": {"name": name, **config}}


def model_config() -> dict[str, Any]:
    """Return a model with layers stem, block/conv1, block/conv2 and head."""
    block = [layer("InputLayer", "inner_input"), layer("Conv2D", "conv1"), layer("Conv2D", "conv2")]
    layers = [
        layer("InputLayer", "input"),
        layer("Conv2D", "stem"),
        {"module": "keras", "class_name": "Functional", "config": {"name": "block", "layers": block}},
        {"module": "keras.src.ops.numpy", "class_name": "Add", "config": {"name": "add"}},
        layer("Dense", "head"),
    ]
    return {"module": "keras", "class_name": "Functional", "config": {"name": "model", "layers": layers}}


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Return a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def keras_members(config: Any = None) -> dict[str, bytes]:
    """Return the members of a .keras file."""
    return {
        "metadata.json": b'{"keras_version": "3.15.0"}',
        "config.json": json.dumps(model_config() if config is None else config).encode(),
        "model.weights.h5": HDF5,
    }


def keras_file(config: Any = None) -> bytes:
    """Return a .keras file whose weights are no weights."""
    return zipped(keras_members(config))


def npy(shape: tuple[int, ...], dtype: str = "<f4", *, fortran_order: bool = False) -> bytes:
    """Return an array of zeros as .npy."""
    header = repr({"descr": dtype, "fortran_order": fortran_order, "shape": shape}).encode()
    header = header.ljust(-(-(len(header) + 11) // 64) * 64 - 11) + b"\n"
    size = int(dtype[-1])
    for length in shape:
        size *= length
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(size)


def npz_file(**arrays: bytes) -> bytes:
    """Return an .npz of such arrays."""
    return zipped({f"{name}.npy": data for name, data in arrays.items()})


def digits_npz(num_samples: int = 4) -> bytes:
    """Return a sound little dataset."""
    return npz_file(x_train=npy((num_samples, 8, 8, 1)), y_train=npy((num_samples,), "<i8"))


def image_folder(*paths: str) -> bytes:
    """Return a zip whose images are no images."""
    return zipped(dict.fromkeys(paths, b"\xff\xd8\xff"))
