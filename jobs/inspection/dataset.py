"""What an uploaded dataset says of itself: the arrays of an .npz, or the images of a zip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.errors import UnsupportedDatasetFileError
from jobs.inspection.archive import open_archive
from jobs.inspection.arrays import read_arrays
from jobs.inspection.image_folder import MAX_MEMBERS, read_images
from jobs.record import ArrayInfo, ClassInfo, ImagesInfo
from pruning.errors import DataError
from pruning.zip_layout import ZIP_MAGIC


@dataclass(frozen=True)
class DatasetInspection:
    """What an upload turned out to be."""

    format: Literal["npz", "image_folder"]
    arrays: tuple[ArrayInfo, ...] | None = None
    images: ImagesInfo | None = None
    classes: tuple[ClassInfo, ...] | None = None
    labelled: bool = True


def inspect_dataset(path: Path) -> DatasetInspection:
    """Check an uploaded dataset file.

    Raises:
        UnsupportedDatasetFileError: Not a zip file, so neither an .npz nor a zip of images.
        DataError: A zip file that is damaged, or a dataset that does not fit itself.
    """
    with path.open("rb") as file:
        start = file.read(len(ZIP_MAGIC))
    if start != ZIP_MAGIC:
        raise UnsupportedDatasetFileError(
            "The file is not a dataset.",
            field="file",
            received=f"a file that starts with {start!r}" if start else "an empty file",
            expected="an .npz file or a zip of images",
            hint="Save arrays with numpy.savez('data.npz', x_train=…, y_train=…).",
        )
    with open_archive(path, DataError, MAX_MEMBERS) as archive:
        if any(name.endswith(".npy") for name in archive.members):
            arrays = read_arrays(archive)
            return DatasetInspection("npz", arrays=arrays, labelled=any(each.name.startswith("y_") for each in arrays))
        images, classes = read_images(archive)
        return DatasetInspection("image_folder", images=images, classes=classes, labelled=images.targets is not None)
