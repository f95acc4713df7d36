"""Masks: images whose values are class numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pruning.datasets.image_files import ImageFiles
from pruning.datasets.scratch import array_on_disk
from pruning.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_WHITE = 255


def decode_masks(
    files: ImageFiles, names: Mapping[str, Sequence[str]], size: tuple[int, int], scratch: Path
) -> dict[str, np.ndarray]:
    """Decode masks into arrays of class numbers on disk.

    A palette's indices are the class numbers. Masks that hold nothing but black and white, 0 and 255, hold 0 and 1.

    Args:
        files: Where they are.
        names: Their names by split.
        size: Height and width; masks of another size are resized to the nearest pixel.
        scratch: Folder on the disk where the arrays are to be.

    Returns:
        By split, shape `(num_samples, height, width, 1)`, uint8.

    Raises:
        DataError: A mask has several channels, or class numbers above 255.
    """
    arrays, values = {}, np.zeros(_WHITE + 1, bool)
    for split, each in names.items():
        arrays[split] = array_on_disk(scratch, (len(each), *size, 1), np.uint8)
        for index, name in enumerate(each):
            mask = _class_numbers(name, files.open(name), size)
            values[np.unique(mask)] = True
            arrays[split][index, ..., 0] = mask
    are_black_and_white = values[_WHITE] and not values[1:_WHITE].any()
    for array in arrays.values():
        if are_black_and_white:
            for mask in array:
                mask //= _WHITE
        array.flags.writeable = False
    return arrays


def _class_numbers(name: str, mask: Image, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    if len(mask.getbands()) != 1:
        raise DataError(
            f"The mask {name} has more than one channel.",
            field="dataset",
            received=f"mode {mask.mode}",
            expected="one channel whose values are class numbers: a grey or palette PNG",
        )
    height, width = size
    if mask.size != (width, height):
        mask = mask.resize((width, height), Image.Resampling.NEAREST)
    numbers = np.asarray(mask)
    if numbers.max() > _WHITE:
        raise DataError(
            f"The class numbers of the mask {name} are too large.",
            field="dataset",
            received=f"up to {numbers.max()}",
            expected=f"0 to {_WHITE}",
        )
    return numbers.astype(np.uint8)
