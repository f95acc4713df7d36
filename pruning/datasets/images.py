"""Images in a zip or in a folder, decoded once into arrays on disk."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pruning.datasets.data import Data
from pruning.datasets.npz import UNREADABLE
from pruning.errors import DataError, first_line
from pruning.image_layout import LAYOUT, ImageLayout

MAX_PIXELS = 25_000_000
_MAX_DEPTH = 6
ImageShape = tuple[int | None, int | None, int | None]
"""Height, width and channels that the model expects; `None` where it takes any."""


def load_images(path: Path, shape: ImageShape, scratch: Path, max_train_samples: int | None, seed: int) -> Data:
    """Decode images in `train/<class>/` and `validation/<class>/`, or images alone, into arrays on disk.

    Classes are numbered in alphabetical order; images alone are data without targets. Images are resized to the
    shape that the model expects; where it takes any size, to the size of the first image.

    Args:
        path: The zip file or the folder.
        shape: What the model expects.
        scratch: Folder on the disk where the decoded arrays are to lie, in files without names.
        max_train_samples: Decode a random subset of this many training images; `None`: all.
        seed: Seed of the subset.

    Raises:
        DataError: An image is damaged or too large, or there are no images.
    """
    with _files(path) as files:
        layout = ImageLayout.of(files.names)
        members = {"train": list(layout.train), "val": list(layout.validation)}
        if not members["train"]:
            raise DataError(
                "There are no training images.",
                field="dataset",
                received="no train/<class>/*.jpg or *.png",
                expected=LAYOUT,
            )
        classes = sorted({PurePosixPath(name).parts[1] for name in members["train"]}) if layout.is_labelled else []
        if max_train_samples is not None and max_train_samples < len(members["train"]):
            order = np.random.default_rng(seed).permutation(len(members["train"]))[:max_train_samples]
            members["train"] = [members["train"][i] for i in np.sort(order)]
        shape = _complete(files, members["train"][0], shape)
        arrays = {}
        for split, names in members.items():
            if names:
                arrays[f"x_{split}"] = _decode(files, names, shape, scratch / f"x_{split}.npy")
            if names and layout.is_labelled:
                arrays[f"y_{split}"] = np.array([_label(name, classes) for name in names])
    return Data.of(arrays)


@dataclass(frozen=True)
class _Files:
    """Files by name, wherever they lie."""

    names: list[str]
    read: Callable[[str], bytes]


@contextmanager
def _files(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _Files(list(_below(path)), lambda name: (path / name).read_bytes())
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError("The zip of images cannot be read.", field="dataset", received=str(error)) from error
    with archive:
        yield _Files(archive.namelist(), archive.read)


def _below(path: Path) -> Iterator[str]:
    """Yield the files below a folder by their relative paths; links are followed, though not in circles for ever."""
    for folder, folders, files in os.walk(path, followlinks=True):
        inside = Path(folder).relative_to(path)
        if len(inside.parts) >= _MAX_DEPTH:
            folders.clear()
        yield from ((inside / name).as_posix() for name in files)


def _label(name: str, classes: list[str]) -> int:
    class_name = PurePosixPath(name).parts[1]
    if class_name not in classes:
        raise DataError(
            f"The class {class_name!r} has validation images but no training images.",
            field="dataset",
            received=name,
            expected=f"one of {', '.join(classes[:20])}",
        )
    return classes.index(class_name)


def _complete(files: _Files, first: str, shape: ImageShape) -> tuple[int, int, int]:
    image = _open(files, first)
    height, width, channels = shape
    if channels not in (1, 3, None):
        raise DataError(
            "The model does not take images.",
            field="dataset",
            received="images",
            expected=f"arrays with {channels} channels, as .npz",
        )
    return height or image.height, width or image.width, channels or 3


def _decode(files: _Files, names: list[str], shape: tuple[int, int, int], target: Path) -> np.ndarray:
    from PIL import Image

    height, width, channels = shape
    array = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(len(names), *shape))
    target.unlink()  # What is mapped stays as long as the array, and goes with it even if the process is killed.
    for index, name in enumerate(names):
        image = _in_bytes(_open(files, name)).convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        array[index] = np.asarray(image).reshape(shape)
    array.flags.writeable = False
    return array


def _in_bytes(image: Any) -> Any:
    """Return an image with 8 bits a channel; of 16 bits, which Pillow would cut off at 255, the upper ones."""
    from PIL import Image

    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8))


def _open(files: _Files, name: str) -> Any:
    """Open one image; its size is read before its pixels are decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(files.read(name)), formats=("JPEG", "PNG"))
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(name, f"{image.width} x {image.height} pixels")
        image.load()
    except UnidentifiedImageError as error:
        raise _undecodable(name, "a file of another kind") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, "pixels beyond all measure") from error
    except (SyntaxError, *UNREADABLE) as error:
        raise _undecodable(name, first_line(error, 200)) from error
    return image


def _undecodable(name: str, received: str) -> DataError:
    return DataError(
        f"The image {name} cannot be decoded.", field="dataset", received=received, expected="a JPEG or PNG image"
    )


def _too_large(name: str, received: str) -> DataError:
    expected = f"at most {MAX_PIXELS // 1_000_000} megapixels"
    return DataError(f"The image {name} is too large.", field="dataset", received=received, expected=expected)
