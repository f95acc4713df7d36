"""CIFAR-10 from a folder of compressed images: decoded once, then kept as arrays of bytes."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

ARCHIVES = ("cifar10.zip", "cifar10.tar.xz")
PARTS = {"train": "train", "val": "validation", "test": "test"}
"""Name of a part → its folder in the archive."""


@dataclass(frozen=True)
class Images:
    """Images by part, uint8 of shape `(num_images, 32, 32, 3)`, with class numbers of shape `(num_images,)`.

    The archive's validation and test images are the two halves of CIFAR-10's own test set.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @classmethod
    def of(cls, folder: Path, cache: Path) -> Images:
        """Load what is kept in the cache, else decode the archive of a folder and keep it.

        Args:
            folder: Has `cifar10.zip`, or the same files as `cifar10.tar.xz`: `train/<class>/*` and so on.
            cache: Folder, made if need be, for `cifar10.npz`: 184 MB for 60,000 images.

        Raises:
            FileNotFoundError: The folder has no archive.
        """
        kept = cache / "cifar10.npz"
        if not kept.exists():
            cache.mkdir(parents=True, exist_ok=True)
            unfinished = kept.with_suffix(".part.npz")
            np.savez(unfinished, **_decoded(folder))
            unfinished.rename(kept)
        with np.load(kept) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})

    def sample(self, num_train: int | None, num_val: int | None, seed: int = 0) -> Images:
        """Return some training images, and some of both others, drawn at random; `None` takes all."""
        chosen: dict[str, Any] = {}
        for part, count in (("train", num_train), ("val", num_val), ("test", num_val)):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            drawn = np.sort(np.random.default_rng(seed).permutation(len(x))[:count])
            chosen |= {f"x_{part}": x[drawn], f"y_{part}": y[drawn]}
        return replace(self, **chosen)

    @property
    def data(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Training and validation images, without those to test on."""
        return (self.x_train, self.y_train), (self.x_val, self.y_val)


def _decoded(folder: Path) -> dict[str, Any]:
    from PIL import Image

    found: dict[str, list[tuple[str, bytes]]] = {part: [] for part in PARTS}
    part_of = {name: part for part, name in PARTS.items()}
    for name, content in _files(folder):
        if PurePosixPath(name).parts[0] in part_of:
            found[part_of[PurePosixPath(name).parts[0]]].append((name, content))
    classes = sorted({PurePosixPath(name).parts[1] for name, _ in found["train"]})
    arrays = {}
    for part, files in found.items():
        files.sort()
        pixels = [np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for _, content in files]
        arrays[f"x_{part}"] = np.stack(pixels)
        arrays[f"y_{part}"] = np.array([classes.index(PurePosixPath(name).parts[1]) for name, _ in files])
    return arrays


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    path = next((folder / name for name in ARCHIVES if (folder / name).exists()), None)
    if path is None:
        raise FileNotFoundError(f"{folder} has neither {' nor '.join(ARCHIVES)}; give its folder with --data")
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    yield name, archive.read(name)
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None:
                    yield member.name.removeprefix("./"), stream.read()
