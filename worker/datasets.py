"""Datasets of a job: arrays, class folders of images, and built-in ones."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jobs.inspection.image_layout import LAYOUT, ImageLayout
from pruning.errors import DataError
from pruning.training.data import Data

MAX_PIXELS = 25_000_000
ImageShape = tuple[int | None, int | None, int | None]
"""Height, width and channels that the model expects; `None` where it takes any."""


def load_npz(path: Path) -> Data:
    """Load `x_train, y_train` and perhaps `x_val, y_val`, or `x_train.<name>` with several inputs; targets may lack.

    Raises:
        DataError: The file is damaged, or an array has a wrong name, type or length.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            "The .npz file cannot be read.",
            field="dataset",
            received=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            expected="arrays of numbers saved with numpy.savez",
        ) from error
    return Data.of(arrays)


def load_builtin(name: str) -> Data:
    """Load a built-in dataset by name, split the same way each time.

    `digits`: 1,797 images of handwritten digits from scikit-learn, shape `(8, 8, 1)`, values 0 to 16;
    a fifth of each class is the validation set.

    Raises:
        DataError: The name is not known.
    """
    if name != "digits":
        raise DataError("The built-in dataset is not known.", field="dataset", received=name, expected="digits")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images[..., np.newaxis].astype(np.float32)
    x_train, x_val, y_train, y_val = train_test_split(
        images, digits.target, test_size=0.2, stratify=digits.target, random_state=0
    )
    return Data.of({"x_train": x_train, "y_train": y_train, "x_val": x_val, "y_val": y_val})


def load_image_folder(path: Path, shape: ImageShape, scratch: Path, max_train_samples: int | None, seed: int) -> Data:
    """Decode a zip of `train/<class>/*` and `validation/<class>/*`, or of images alone, into arrays on disk.

    Classes are numbered in alphabetical order; images alone are data without targets. Images are resized to the
    shape that the model expects; where it takes any size, to the size of the first image.

    Args:
        path: The zip file.
        shape: What the model expects.
        scratch: Folder for the decoded arrays, which are mapped, not held in memory.
        max_train_samples: Decode a random subset of this many training images; `None`: all.
        seed: Seed of the subset.

    Raises:
        DataError: An image is damaged or too large, or there are no images.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError("The zip of images cannot be read.", field="dataset", received=str(error)) from error
    with archive:
        layout = ImageLayout.of(archive.namelist())
        members = {"train": list(layout.train), "val": list(layout.validation)}
        if not members["train"]:
            raise DataError(
                "There are no training images.",
                field="dataset",
                received="a zip without train/<class>/*.jpg or *.png",
                expected=LAYOUT,
            )
        classes = sorted({PurePosixPath(name).parts[1] for name in members["train"]}) if layout.is_labelled else []
        if max_train_samples is not None and max_train_samples < len(members["train"]):
            order = np.random.default_rng(seed).permutation(len(members["train"]))[:max_train_samples]
            members["train"] = [members["train"][i] for i in np.sort(order)]
        shape = _complete(archive, members["train"][0], shape)
        arrays = {}
        for split, names in members.items():
            if names:
                arrays[f"x_{split}"] = _decode(archive, names, shape, scratch / f"x_{split}.npy")
            if names and layout.is_labelled:
                arrays[f"y_{split}"] = np.array([_label(name, classes) for name in names])
    return Data.of(arrays)


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


def _complete(archive: zipfile.ZipFile, first: str, shape: ImageShape) -> tuple[int, int, int]:
    image = _open(archive, first)
    height, width, channels = shape
    if channels not in (1, 3, None):
        raise DataError(
            "The model does not take images.",
            field="dataset",
            received="a zip of images",
            expected=f"arrays with {channels} channels, as .npz",
        )
    return height or image.height, width or image.width, channels or 3


def _decode(archive: zipfile.ZipFile, names: list[str], shape: tuple[int, int, int], target: Path) -> np.ndarray:
    from PIL import Image

    height, width, channels = shape
    array = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(len(names), *shape))
    for index, image in enumerate(_images(archive, names)):
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        array[index] = np.asarray(image).reshape(shape)
    array.flush()
    return array


def _images(archive: zipfile.ZipFile, names: list[str]) -> Iterator[Any]:
    for name in names:
        yield _open(archive, name)


def _open(archive: zipfile.ZipFile, name: str) -> Any:
    """Open one image; its size is read before its pixels are decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(archive.read(name)), formats=("JPEG", "PNG"))
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(name, f"{image.width} x {image.height} pixels")
        image.load()
    except UnidentifiedImageError as error:
        raise _undecodable(name, "a file of another kind") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, "pixels beyond all measure") from error
    except (OSError, SyntaxError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _undecodable(name, str(error).splitlines()[0][:200] if str(error) else type(error).__name__) from error
    return image


def _undecodable(name: str, received: str) -> DataError:
    return DataError(
        f"The image {name} cannot be decoded.", field="dataset", received=received, expected="a JPEG or PNG image"
    )


def _too_large(name: str, received: str) -> DataError:
    expected = f"at most {MAX_PIXELS // 1_000_000} megapixels"
    return DataError(f"The image {name} is too large.", field="dataset", received=received, expected=expected)
