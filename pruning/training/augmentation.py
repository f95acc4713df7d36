"""Random changes to images, and to the targets that have to move with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pruning.datasets.data import Inputs, Targets
from pruning.datasets.rows import Samples
from pruning.errors import SpecError
from pruning.spec import Augmentation


@dataclass(frozen=True)
class Motion:
    """How each sample of a batch is flipped and shifted; one motion moves images and masks alike.

    Attributes:
        augmentation: What is allowed.
        flips: Which samples to flip; boolean, shape `(2, num_samples)`: horizontally, vertically.
        places: Where in its margin each sample is cut out, as a share from 0 to 1; shape `(2, num_samples)`: rows,
            columns. A share, so that images of several sizes move together.
    """

    augmentation: Augmentation
    flips: np.ndarray
    places: np.ndarray

    @classmethod
    def draw(cls, augmentation: Augmentation, num_samples: int, generator: np.random.Generator) -> Motion:
        """Draw a motion for each sample of a batch."""
        flips = generator.random((2, num_samples)) < 0.5
        flips &= np.array([[augmentation.horizontal_flip], [augmentation.vertical_flip]])
        return cls(augmentation, flips, generator.random((2, num_samples)))

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Return the images moved, each entry taken from one entry or, beyond the edge, 0.

        Args:
            images: Images or masks, shape `(num_samples, height, width)` or `(num_samples, height, width, channels)`.
        """
        height, width = images.shape[1:3]
        moved = _flipped(images, *self.flips)
        rows = self.augmentation.crop + round(self.augmentation.shift * height)
        columns = self.augmentation.crop + round(self.augmentation.shift * width)
        if rows or columns:
            tops, lefts = (self.places * [[2 * rows + 1], [2 * columns + 1]]).astype(np.intp)
            moved = _cut_out(moved, rows, columns, tops, lefts)
        return moved


def moving_targets(x: Inputs, y: Targets, augmentation: Augmentation) -> frozenset[str]:
    """Return the names of the targets that have to move with the images.

    A target of an image's height and width is a mask and moves with it. A number, a class label, probabilities that
    add up to 1 and vectors of 0 and 1 belong to a whole image. What anything else says about places cannot be known:
    keypoints look like any other numbers.

    Args:
        x: Inputs by name.
        y: Targets by name.
        augmentation: What is to be done to the images.

    Raises:
        SpecError: There is an input that is no image, or a target of which it is not known whether it has to move.
    """
    if not augmentation.moves:
        return frozenset()
    for array in x.values():
        if array.ndim != 4:
            raise SpecError(
                "Augmentation needs images.",
                field="training.augmentation",
                received=f"inputs of shape {array.shape[1:]}",
                expected="inputs of shape (height, width, channels)",
                hint="Remove augmentation, or augment the data before you upload it.",
            )
    if augmentation.targets == "unchanged":
        return frozenset()
    sizes = {array.shape[1:3] for array in x.values()}
    masks = {name for name, target in y.items() if target.ndim in (3, 4) and target.shape[1:3] in sizes}
    for name, target in y.items():
        if name not in masks and not _is_about_the_whole(target):
            raise SpecError(
                f"It is unclear whether the targets{f' of {name}' if len(y) > 1 else ''} must move with the images.",
                field="training.augmentation.targets",
                received=f"{target.dtype} targets of shape {target.shape[1:]}",
                expected="masks with the images' height and width, numbers, class labels, probabilities that sum "
                "to 1, or vectors of 0 and 1",
                hint="If the targets are not positions in the image, set training.augmentation.targets to "
                "'unchanged'. If they are, such as keypoints and boxes, remove augmentation.",
            )
    return frozenset(masks)


def _is_about_the_whole(target: Samples) -> bool:
    if target.size == len(target):
        return True
    if not isinstance(target, np.ndarray) or target.ndim != 2:
        return False
    if target.dtype.kind == "b" or ((target == 0) | (target == 1)).all():
        return True
    return bool((target >= 0).all() and np.allclose(target.sum(axis=1, dtype=np.float64), 1, atol=1e-3))


def _flipped(images: np.ndarray, horizontally: np.ndarray, vertically: np.ndarray) -> np.ndarray:
    if not (horizontally.any() or vertically.any()):
        return images
    images = np.array(images, order="C")
    num_samples, height, width = images.shape[:3]
    rows = images.reshape(num_samples, height, -1)
    if horizontally.any():
        # Reversed by an index over whole rows: a view that goes backwards is copied several times slower.
        mirror = np.arange(rows.shape[2]).reshape(width, -1)[::-1].reshape(-1)
        rows[horizontally] = rows[horizontally][:, :, mirror]
    if vertically.any():
        rows[vertically] = rows[vertically, ::-1]
    return images


def _cut_out(images: np.ndarray, rows: int, columns: int, tops: np.ndarray, lefts: np.ndarray) -> np.ndarray:
    """Return each image's own window of itself within a margin of zeros."""
    num_samples, height, width = images.shape[:3]
    padded = np.zeros((num_samples, height + 2 * rows, width + 2 * columns, *images.shape[3:]), images.dtype)
    padded[:, rows : rows + height, columns : columns + width] = images
    # Rows of pixels as rows of numbers, which are copied whole.
    pixel = padded[0, 0, 0].size
    flat = padded.reshape(num_samples, height + 2 * rows, -1)
    windows = sliding_window_view(flat, (height, width * pixel), axis=(1, 2))[:, :, ::pixel]
    cut: np.ndarray = windows[np.arange(num_samples), tops, lefts]
    return cut.reshape(images.shape)
