"""Images of every mode, and masks and numbers as targets."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from pruning.datasets.images import Wanted, load_images
from pruning.datasets.loading import load_dataset
from pruning.datasets.rows import Rows
from pruning.errors import DataError

GREY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
COLOUR = np.stack([GREY, GREY // 2, 255 - GREY], -1)


def encoded(array: np.ndarray, kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def written(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def loaded(folder: Path, *images: bytes, channels: int = 3, suffix: str = "png") -> np.ndarray:
    path = written(folder / "i.zip", {f"{number}.{suffix}": image for number, image in enumerate(images)})
    return np.asarray(load_images(path, Wanted(4, 6, channels), folder, None, 0).x_train[""])


def with_alpha(array: np.ndarray) -> bytes:
    return encoded(np.dstack([array, np.full(array.shape[:2], 128, np.uint8)]))


def of_16_bits(grey: np.ndarray) -> bytes:
    return encoded(grey.astype(np.uint16) * 257)


PALETTE = encoded(COLOUR[..., :1].repeat(3, -1), mode="P")


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (encoded(GREY), GREY[..., None].repeat(3, -1)),
        (encoded(COLOUR), COLOUR),
        (with_alpha(GREY), GREY[..., None].repeat(3, -1)),
        (with_alpha(COLOUR), COLOUR),
        (of_16_bits(GREY), GREY[..., None].repeat(3, -1)),
        (encoded(GREY > 100, mode="1"), np.where(GREY > 100, 255, 0)[..., None].repeat(3, -1)),
    ],
    ids=["grey", "colour", "grey and alpha", "colour and alpha", "16 bits", "1 bit"],
)
def test_modes(tmp_path: Path, image: bytes, colour: np.ndarray) -> None:
    np.testing.assert_array_equal(loaded(tmp_path, image, image)[1], colour)


def test_palettes_and_cmyk(tmp_path: Path) -> None:
    red = np.zeros((4, 6, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    palette = loaded(tmp_path, *[encoded(red, mode="P")] * 2)
    cmyk = loaded(tmp_path, *[encoded(red, "JPEG", "CMYK", quality=100)] * 2, suffix="jpg")
    for images in (palette, cmyk):
        assert np.abs(images.astype(int) - red).max() <= 6
    grey = loaded(tmp_path, *[encoded(red, mode="P")] * 2, channels=1)
    assert grey.shape == (2, 4, 6, 1)
    assert np.ptp(grey) == 0


def test_images_are_turned_as_the_camera_was_held(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned: rows are columns.
    turned = encoded(np.rot90(COLOUR).copy(), "JPEG", exif=exif, quality=100, subsampling=0)
    straight = encoded(COLOUR, "JPEG", quality=100, subsampling=0)
    first, second = loaded(tmp_path, turned, straight, suffix="jpg").astype(int)
    assert np.abs(first - second).max() < 10


def test_animated_images_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "PNG", save_all=True, append_images=[Image.fromarray(255 - COLOUR)])
    with pytest.raises(DataError, match="animated"):
        loaded(tmp_path, buffer.getvalue(), buffer.getvalue())


def test_another_kind_of_image_under_the_name_of_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="another kind"):
        loaded(tmp_path, *[encoded(COLOUR, "GIF")] * 2)


# Masks


def pairs(folder: Path, masks: list[bytes], split: str = "train") -> Path:
    files: dict[str, bytes | str] = {f"{split}/images/{number}.png": encoded(COLOUR) for number in range(len(masks))}
    return written(folder / "i.zip", files | {f"{split}/masks/{number}.png": mask for number, mask in enumerate(masks)})


def masks_of(folder: Path, *masks: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
    wanted = Wanted(4, 6, 3, size)
    return np.asarray(load_images(pairs(folder, list(masks)), wanted, folder, None, 0).y_train[""])


LABELS = GREY // 90


def palette_mask(labels: np.ndarray) -> bytes:
    image = Image.fromarray(labels)
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mask", "labels"),
    [
        (encoded(LABELS), LABELS),
        (palette_mask(LABELS), LABELS),
        (encoded(LABELS.astype(np.uint16)), LABELS),
        (encoded(GREY > 100, mode="1"), (GREY > 100).astype(np.uint8)),
        (encoded(np.where(GREY > 100, 255, 0).astype(np.uint8)), (GREY > 100).astype(np.uint8)),
        (encoded(np.where(GREY > 100, 255, LABELS).astype(np.uint8)), np.where(GREY > 100, 255, LABELS)),
    ],
    ids=["grey", "palette", "16 bits", "1 bit", "black and white", "one value ignored"],
)
def test_masks_hold_class_numbers(tmp_path: Path, mask: bytes, labels: np.ndarray) -> None:
    found = masks_of(tmp_path, mask, mask)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[..., 0], [labels, labels])


def test_black_and_white_is_told_by_all_masks_together(tmp_path: Path) -> None:
    found = masks_of(tmp_path, encoded(np.zeros_like(GREY)), encoded(np.full_like(GREY, 255)))
    assert [np.unique(each).tolist() for each in found] == [[0], [1]]
    found = masks_of(tmp_path, encoded(LABELS), encoded(np.full_like(GREY, 255)))
    assert found[1].min() == 255


def test_masks_are_resized_to_the_output_of_the_model(tmp_path: Path) -> None:
    found = masks_of(tmp_path, *[encoded(LABELS)] * 2, size=(2, 3))
    assert found.shape == (2, 2, 3, 1)
    assert set(np.unique(found)) <= set(np.unique(LABELS))


def test_masks_in_colour_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train/masks/0\.png has more than one channel"):
        masks_of(tmp_path, *[encoded(COLOUR)] * 2)


def test_class_numbers_above_255_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too large"):
        masks_of(tmp_path, *[encoded(LABELS.astype(np.uint16) + 300)] * 2)


def test_a_split_of_masks_copies_nothing(tmp_path: Path) -> None:
    data = load_images(pairs(tmp_path, [encoded(LABELS + n) for n in range(5)]), Wanted(4, 6, 3), tmp_path, None, 0)
    split = data.split(0.4, seed=0)
    y_train, y_val = split.y_train[""], split.y_val[""]
    assert isinstance(y_train, Rows)
    assert isinstance(y_val, Rows)
    assert sorted([*np.asarray(y_train)[:, 0, 0, 0], *np.asarray(y_val)[:, 0, 0, 0]]) == list(range(5))


# Numbers


def table(folder: Path, text: str, num_images: int = 3) -> Path:
    files: dict[str, bytes | str] = {f"{number}.png": encoded(COLOUR) for number in range(num_images)}
    return written(folder / "i.zip", files | {"labels.csv": text})


def numbers(folder: Path, text: str, outputs: tuple[str, ...] = ("out",)) -> dict[str, np.ndarray]:
    data = load_images(table(folder, text), Wanted(4, 6, 3, None, outputs), folder, None, 0)
    return {name: np.asarray(array) for name, array in data.y_train.items()}


def test_one_column_is_one_axis(tmp_path: Path) -> None:
    y = numbers(tmp_path, "image,age\n0.png,1.5\n1.png,2\n2.png,3\n")[""]
    assert (y.dtype, y.tolist()) == (np.float32, [1.5, 2, 3])


def test_whole_numbers_are_labels(tmp_path: Path) -> None:
    y = numbers(tmp_path, "image,class\n0.png,1\n1.png,0\n2.png,2\n")[""]
    assert (y.dtype, y.tolist()) == (np.int64, [1, 0, 2])


def test_several_columns_are_a_vector(tmp_path: Path) -> None:
    y = numbers(tmp_path, "image,cat,dog\n0.png,1,0\n2.png,1,1\n")[""]
    assert y.tolist() == [[1, 0], [1, 1]]


def test_columns_of_several_outputs(tmp_path: Path) -> None:
    y = numbers(tmp_path, "image,age,box.x,box.y\n0.png,1,2,3\n1.png,4,5,6\n", ("box", "age"))
    assert y["age"].tolist() == [1, 4]
    assert y["box"].tolist() == [[2, 3], [5, 6]]
    with pytest.raises(DataError, match="do not match the model's outputs"):
        numbers(tmp_path, "image,age\n0.png,1\n1.png,2\n", ("box", "age"))


def test_a_model_with_masks_trains_on_them(tmp_path: Path) -> None:
    inputs = keras.Input((4, 6, 3))
    x = layers.Conv2D(3, 2, strides=2, activation="softmax")(layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, x)
    data = load_dataset(pairs(tmp_path, [encoded(LABELS)] * 4), model, tmp_path).fit_to(model)
    (y,) = data.y_train.values()
    assert y.shape == (4, 2, 3, 1)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert np.isfinite(model.evaluate(np.asarray(*data.x_train.values()), np.asarray(y), verbose=0))
