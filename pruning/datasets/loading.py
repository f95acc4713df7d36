"""A dataset by the name of its file, folder, or built-in set."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras

from pruning.datasets.builtin import NAMES, load_builtin
from pruning.datasets.data import Data
from pruning.datasets.images import Wanted, load_images
from pruning.datasets.npz import load_npz
from pruning.errors import DataError

FORMS = f"an .npz file, a zip or folder of images, or {' or '.join(NAMES)}"


def load_dataset(
    source: str | Path, model: keras.Model, scratch: Path, *, max_train_samples: int | None = None, seed: int = 0
) -> Data:
    """Load a dataset for a model; its arrays stay on disk.

    Args:
        source: Path of an `.npz` file, or of a zip or folder of images; or the name of a built-in set.
        model: Tells the size of images.
        scratch: Folder on the disk where decoded and extracted arrays are to lie, in files without names.
        max_train_samples: Decode a random subset of this many training images; `None`: all.
        seed: Seed of the subset.

    Raises:
        DataError: It is no such thing, is damaged, or does not suit the model.
        ModelError: The model does not take one image, and these are images.
    """
    if str(source) in NAMES:
        return load_builtin(str(source))
    path = Path(source)
    if path.is_dir() or (zipfile.is_zipfile(path) and not _holds_arrays(path)):
        return load_images(path, Wanted.by(model), scratch, max_train_samples, seed)
    if path.is_file():
        return load_npz(path, scratch)
    raise DataError("The dataset does not exist.", field="data", received=str(source), expected=FORMS)


def _holds_arrays(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())
