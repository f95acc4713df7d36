"""Images in a zip or folder, with classes, masks, numbers or nothing as targets, decoded once into arrays on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from pruning.datasets.data import Data
from pruning.datasets.image_files import ImageFiles, opened
from pruning.datasets.masks import decode_masks
from pruning.datasets.scratch import array_on_disk
from pruning.errors import DataError, ModelError
from pruning.image_layout import ImageLayout, Sample
from pruning.keras_model.graph import outputs_by_name, require_graph

if TYPE_CHECKING:
    from PIL.Image import Image

Splits = Mapping[str, Sequence[Sample]]


@dataclass(frozen=True)
class Wanted:
    """What a model takes and gives, as far as images go.

    Attributes:
        height: Of its input, in pixels; `None` where it takes any.
        width: Of its input, in pixels; `None` where it takes any.
        channels: Of its input; `None` where it takes any.
        mask_size: Height and width of its output where that is fixed and has both.
        outputs: Names of its outputs.
    """

    height: int | None
    width: int | None
    channels: int | None
    mask_size: tuple[int, int] | None = None
    outputs: tuple[str, ...] = ("",)

    @classmethod
    def by(cls, model: keras.Model) -> Wanted:
        """Return what a model wants.

        Raises:
            ModelError: The model has several inputs, or one that is not an image.
        """
        shapes = [tuple(tensor.shape[1:]) for tensor in require_graph(model).inputs]
        if len(shapes) != 1 or len(shapes[0]) != 3:
            raise ModelError(
                "The model does not take a single image.",
                field="dataset",
                received=f"inputs of shape {', '.join(str(shape) for shape in shapes)}",
                expected="one input of shape (height, width, channels)",
                hint="Use an .npz file with one array for each input.",
            )
        outputs = outputs_by_name(model)
        given = [tuple(tensor.shape[1:3]) for tensor in outputs.values() if len(tensor.shape) == 4]
        mask_size = given[0] if len(outputs) == 1 and given and None not in given[0] else None
        return cls(*shapes[0], mask_size, tuple(outputs))


def load_images(path: Path, wanted: Wanted, scratch: Path, max_train_samples: int | None, seed: int) -> Data:
    """Decode images, laid out as `ImageLayout` says, into arrays on disk.

    Classes are numbered in alphabetical order. The numbers of a table are one array, `(num_samples,)` for one column
    and `(num_samples, num_columns)` for several, int64 where all of them are whole and else float32; for a model with
    several outputs the column of an output has its name, or several columns have names such as `output.x`. Images are
    resized to the shape that the model wants; where it takes any size, to the size of the first image. Channels are
    converted, and transparency is dropped.

    Args:
        path: The zip file or the folder.
        wanted: What the model takes.
        scratch: Folder on the disk where decoded arrays are to be.
        max_train_samples: Decode a random subset of this many training images; `None`: all.
        seed: Seed of the subset.

    Raises:
        DataError: An image cannot be decoded, or the images are not laid out in a known way.
    """
    with opened(path) as files:
        layout = ImageLayout.of(files.names, files.read)
        splits: dict[str, Sequence[Sample]] = {"train": layout.train}
        splits |= {name: samples for name, samples in (("val", layout.validation), ("test", layout.test)) if samples}
        if max_train_samples is not None and max_train_samples < len(layout.train):
            chosen = np.random.default_rng(seed).permutation(len(layout.train))[:max_train_samples]
            splits["train"] = [layout.train[i] for i in np.sort(chosen)]
        shape = _complete(files, splits["train"][0].image, wanted)
        arrays: dict[str, np.ndarray] = {}
        for split, samples in splits.items():
            arrays[f"x_{split}"] = _decoded(files, samples, shape, scratch)
        return Data.of(arrays | _targets(files, layout, splits, wanted, shape, scratch))


def _targets(
    files: ImageFiles,
    layout: ImageLayout,
    splits: Splits,
    wanted: Wanted,
    shape: tuple[int, int, int],
    scratch: Path,
) -> dict[str, np.ndarray]:
    if layout.form == "unlabelled":
        return {}
    if layout.form == "masks":
        names = {f"y_{split}": [str(sample.target) for sample in samples] for split, samples in splits.items()}
        return decode_masks(files, names, wanted.mask_size or shape[:2], scratch)
    if layout.form == "classes":
        numbers = {name: number for number, name in enumerate(layout.classes)}
        return {
            f"y_{split}": np.array([numbers[str(sample.target)] for sample in samples])
            for split, samples in splits.items()
        }
    columns = _columns_of_outputs(layout.columns, wanted.outputs)
    tables = {split: np.array([sample.target for sample in samples]) for split, samples in splits.items()}
    kind = np.int64 if all(np.array_equal(table, np.floor(table)) for table in tables.values()) else np.float32
    return {
        f"y_{split}{output}": table[:, chosen[0] if len(chosen) == 1 else chosen].astype(kind)
        for split, table in tables.items()
        for output, chosen in columns.items()
    }


def _columns_of_outputs(columns: Sequence[str], outputs: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of each output by what is added to `y_train` for it."""
    if len(outputs) == 1:
        return {"": list(range(len(columns)))}
    of_outputs: dict[str, list[int]] = {}
    for number, column in enumerate(columns):
        output = column if column in outputs else column.rpartition(".")[0]
        of_outputs.setdefault(f".{output}", []).append(number)
    if set(of_outputs) != {f".{output}" for output in outputs}:
        raise DataError(
            "The columns of the table do not match the model's outputs.",
            field="dataset",
            received=", ".join(columns)[:200],
            expected=f"a column for each output ({', '.join(outputs)}), or columns such as {outputs[0]}.x",
        )
    return of_outputs


def _complete(files: ImageFiles, first: str, wanted: Wanted) -> tuple[int, int, int]:
    if wanted.channels not in (1, 3, None):
        raise DataError(
            "The model does not take images.",
            field="dataset",
            received="images",
            expected=f"an .npz file of arrays with {wanted.channels} channels",
        )
    if wanted.height and wanted.width:
        return wanted.height, wanted.width, wanted.channels or 3
    image = files.open(first)
    return wanted.height or image.height, wanted.width or image.width, wanted.channels or 3


def _decoded(files: ImageFiles, samples: Sequence[Sample], shape: tuple[int, int, int], scratch: Path) -> np.ndarray:
    from PIL import Image

    height, width, channels = shape
    array = array_on_disk(scratch, (len(samples), *shape), np.uint8)
    for index, sample in enumerate(samples):
        image = _in_bytes(files.open(sample.image)).convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        array[index] = np.asarray(image).reshape(shape)
    array.flags.writeable = False
    return array


def _in_bytes(image: Image) -> Image:
    """Return an image with 8 bits a channel; of 16 bits, which Pillow would cut off at 255, the upper ones."""
    from PIL import Image

    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8))
