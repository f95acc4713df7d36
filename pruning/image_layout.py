"""How a zip of images is laid out, by its names alone: the upload's inspection and the job see the same images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SUFFIXES = (".jpg", ".jpeg", ".png")
LAYOUT = (
    "train/<class>/<image>.jpg|png, and optionally validation/<class>/<image>.jpg|png; "
    "or, without labels, images and nothing else, all of them at the top or in one folder"
)


@dataclass(frozen=True)
class ImageLayout:
    """The images of a zip.

    Attributes:
        train: Names of the members with training images, sorted.
        validation: The same for validation; empty if there are none, or no labels.
        is_labelled: Whether the images lie in class folders.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    is_labelled: bool

    @classmethod
    def of(cls, names: Iterable[str]) -> ImageLayout:
        """Return the layout of a zip with such members; one without images is labelled and empty."""
        images = sorted(name for name in names if name.lower().endswith(SUFFIXES) and not is_left_behind(name))
        splits = {
            split: tuple(name for name in images if name.startswith(f"{split}/") and name.count("/") == 2)
            for split in ("train", "validation")
        }
        folders = {name.rpartition("/")[0] for name in images}
        if not splits["train"] and len(folders) == 1 and "/" not in next(iter(folders)):
            return cls(tuple(images), (), is_labelled=False)
        return cls(splits["train"], splits["validation"], is_labelled=True)


def is_left_behind(name: str) -> bool:
    """Tell whether a member is what desktops and editors leave behind: hidden, or a cache of thumbnails."""
    parts = name.split("/")
    return parts[-1] == "Thumbs.db" or parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts)
