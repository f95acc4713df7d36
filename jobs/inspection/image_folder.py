"""The images of a zip: `train/<class>/<image>` and, if wanted, `validation/<class>/<image>`, or unlabelled."""

from __future__ import annotations

from collections import Counter
from zipfile import ZipInfo

from jobs.inspection.archive import Archive
from jobs.record import ClassInfo
from pruning.errors import DataError
from pruning.image_layout import LAYOUT, SUFFIXES, ImageLayout, is_left_behind

MAX_MEMBERS = 200_000
MAX_CLASSES = 10_000
MAX_IMAGE_BYTES = 64 * 1024**2
MIN_CLASSES = 2
MISNAMED_VALIDATION = frozenset({"val", "valid", "validation"})
MIN_IMAGES = 2


def read_classes(archive: Archive) -> tuple[ClassInfo, ...] | None:
    """Return the classes with their numbers of images, or `None` for images without labels.

    Beside class folders other folders are ignored.

    Raises:
        DataError: There are no images, or the zip does not fit itself.
    """
    if not ImageLayout.of(archive.members).is_labelled:
        _check_unlabelled(archive)
        return None
    train, validation = _count(archive, "train"), _count(archive, "validation")
    if not train:
        tops = sorted({name.split("/")[0] for name in archive.members})
        raise DataError(
            "the zip has no images in train/",
            field="file",
            received=f"at the top: {', '.join(tops[:5])[:200] or 'nothing'}",
            expected=LAYOUT,
            hint="Zip the folders train/ and validation/ themselves, not a folder around them.",
        )
    if not validation:
        _refuse_misnamed_validation(archive)
    if not MIN_CLASSES <= len(train) <= MAX_CLASSES:
        raise DataError(
            "the number of classes is out of range",
            field="file",
            received=f"{len(train)} classes in train/",
            expected=f"{MIN_CLASSES} to {MAX_CLASSES}",
        )
    if validation and set(validation) != set(train):
        raise DataError(
            "train/ and validation/ differ in their classes",
            field="file",
            received=f"only in one of them: {', '.join(sorted(set(train) ^ set(validation))[:5])[:200]}",
            expected="the same class folders in both",
        )
    return tuple(
        ClassInfo(name=name, num_train=train[name], num_validation=validation[name] if validation else None)
        for name in sorted(train)
    )


def _refuse_misnamed_validation(archive: Archive) -> None:
    """Other folders are ignored; one that is meant for validation must not be, unnoticed."""
    for name in archive.members:
        top, slash, _ = name.partition("/")
        if slash and top.lower() in MISNAMED_VALIDATION:
            raise DataError(
                "the folder of validation images has another name",
                field="file",
                received=f"{top}/",
                expected=LAYOUT,
                hint=f"Name the folder validation/ instead of {top}/, or leave it out.",
            )


def _count(archive: Archive, split: str) -> Counter[str]:
    images: Counter[str] = Counter()
    for name, member in archive.members.items():
        top, *rest = name.split("/")
        if top != split or is_left_behind(name):
            continue
        if len(rest) != 2 or not rest[1].lower().endswith(SUFFIXES):
            raise DataError(
                f"{split}/ holds something else than class folders with images",
                field="file",
                received=name[:200],
                expected=LAYOUT,
            )
        _check_size(name, member)
        images[rest[0]] += 1
    return images


def _check_unlabelled(archive: Archive) -> None:
    images = {name: member for name, member in archive.members.items() if not is_left_behind(name)}
    for name, member in images.items():
        if not name.lower().endswith(SUFFIXES):
            # Perhaps a table of labels, which would go unnoticed.
            raise DataError(
                "beside images without class folders there is something else",
                field="file",
                received=name[:200],
                expected=LAYOUT,
            )
        _check_size(name, member)
    if len(images) < MIN_IMAGES:
        raise DataError(
            "the dataset has too few images",
            field="file",
            received=f"{len(images)} image",
            expected=f"at least {MIN_IMAGES}",
        )


def _check_size(name: str, member: ZipInfo) -> None:
    if not 0 < member.file_size <= MAX_IMAGE_BYTES:
        raise DataError(
            "an image is empty or too large",
            field="file",
            received=f"{name[:200]}: {member.file_size} bytes",
            expected=f"1 to {MAX_IMAGE_BYTES} bytes",
        )
