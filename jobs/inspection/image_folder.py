"""The images of a zip: what the job will find in it."""

from __future__ import annotations

from jobs.inspection.archive import Archive
from jobs.record import ClassInfo, ImagesInfo
from pruning.errors import DataError
from pruning.image_layout import ImageLayout
from pruning.image_layout.table import MAX_TABLE_BYTES

MAX_MEMBERS = 200_000
MAX_IMAGE_BYTES = 64 * 1024**2


def read_images(archive: Archive) -> tuple[ImagesInfo, tuple[ClassInfo, ...] | None]:
    """Return what a zip of images holds, and its classes if it has class folders.

    Raises:
        DataError: There are no images in a known layout, or one is empty or too large.
    """
    try:
        layout = ImageLayout.of(archive.members, lambda name: archive.read(name, MAX_TABLE_BYTES))
    except DataError as error:
        error.field = "file"
        raise
    for sample in (*layout.train, *layout.validation, *layout.test):
        _check_size(archive, sample.image)
        if layout.form == "masks":
            _check_size(archive, str(sample.target))
    images = ImagesInfo(
        targets=None if layout.form == "unlabelled" else layout.form,
        num_train=len(layout.train),
        num_validation=len(layout.validation) or None,
        num_test=len(layout.test) or None,
        columns=layout.columns or None,
    )
    return images, _classes(layout)


def _check_size(archive: Archive, name: str) -> None:
    size_bytes = archive.members[name].file_size
    if not 0 < size_bytes <= MAX_IMAGE_BYTES:
        raise DataError(
            "An image is empty or too large.",
            field="file",
            received=f"{name[:200]}: {size_bytes} bytes",
            expected=f"1 to {MAX_IMAGE_BYTES} bytes",
        )


def _classes(layout: ImageLayout) -> tuple[ClassInfo, ...] | None:
    if layout.form != "classes":
        return None
    return tuple(
        ClassInfo(name=name, num_train=train, num_validation=validation if layout.validation else None)
        for name, (train, validation) in layout.count_classes().items()
    )
