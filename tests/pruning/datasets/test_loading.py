"""Datasets: real files in, arrays out, and a clear error that names what is wrong."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from jobs.inspection import inspect_dataset
from pruning.datasets.builtin import load_builtin
from pruning.datasets.images import Wanted, load_images
from pruning.datasets.loading import load_dataset
from pruning.datasets.npz import load_npz
from pruning.errors import DataError

COLOURS = {"red": (200, 0, 0), "blue": (0, 0, 200)}


def image_bytes(colour: tuple[int, int, int], size: tuple[int, int] = (6, 4), kind: str = "PNG") -> bytes:
    """Return an image of one colour; size is width, height."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def image_folder(path: Path, files: dict[str, bytes] | None = None) -> Path:
    """Write a zip of two classes with two training and one validation image each, and whatever else is given."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, colour in COLOURS.items():
            for index in range(2):
                archive.writestr(f"train/{name}/{index}.png", image_bytes(colour))
            archive.writestr(f"validation/{name}/0.jpg", image_bytes(colour, kind="JPEG"))
        for name, content in (files or {}).items():
            archive.writestr(name, content)
    return path


def test_digits_are_split_the_same_way_each_time() -> None:
    first, second = load_builtin("digits"), load_builtin("digits")
    assert (first.num_train, first.num_val) == (1437, 360)
    assert first.x_train[""].shape[1:] == (8, 8, 1)
    np.testing.assert_array_equal(first.x_val[""], second.x_val[""])


def test_unknown_builtin() -> None:
    with pytest.raises(DataError, match="letters"):
        load_builtin("letters")


def test_npz_with_several_inputs(tmp_path: Path) -> None:
    arrays = {"x_train.left": np.ones((3, 2)), "x_train.right": np.ones((3, 1)), "y_train": np.arange(3)}
    np.savez(tmp_path / "data.npz", **arrays)
    assert set(load_npz(tmp_path / "data.npz", tmp_path).x_train) == {"left", "right"}


def test_npz_with_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_train=np.array([{}, {}], dtype=object), y_train=np.arange(2))
    with pytest.raises(DataError, match="Cannot read"):
        load_npz(tmp_path / "data.npz", tmp_path)


def test_damaged_npz(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(DataError, match="Cannot read"):
        load_npz(tmp_path / "data.npz", tmp_path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_npz_stay_on_disk(tmp_path: Path, save: Any) -> None:
    arrays = {"x_train": np.arange(24.0).reshape(4, 3, 2), "y_train": np.asfortranarray(np.arange(8).reshape(4, 2))}
    save(tmp_path / "data.npz", **arrays)
    data = load_npz(tmp_path / "data.npz", tmp_path)
    for name, array in (("x_train", data.x_train[""]), ("y_train", data.y_train[""])):
        assert isinstance(array, np.memmap)
        np.testing.assert_array_equal(array, arrays[name])
        assert not array.flags.writeable
    assert data.y_train[""].flags.f_contiguous


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_train=np.zeros((100, 100)), y_train=np.zeros(100))
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[2000] ^= 1
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match="Cannot read"):
        load_npz(tmp_path / "data.npz", tmp_path)


def test_a_header_that_says_more_than_there_is(tmp_path: Path) -> None:
    whole = io.BytesIO()
    np.save(whole, np.zeros((10, 10)))
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x_train.npy", whole.getvalue()[:-8])
        archive.writestr("y_train.npy", whole.getvalue())
    with pytest.raises(DataError, match="does not match its header"):
        load_npz(tmp_path / "data.npz", tmp_path)


def test_classes_are_numbered_alphabetically(tmp_path: Path) -> None:
    data = load_images(image_folder(tmp_path / "i.zip"), Wanted(None, None, 3), tmp_path, None, 0)
    assert data.x_train[""].shape == (4, 4, 6, 3)
    assert data.y_train[""].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(data.x_train[""][0, 0, 0], COLOURS["blue"])
    assert data.y_val[""].tolist() == [0, 1]


def test_what_editors_leave_behind_is_no_class(tmp_path: Path) -> None:
    copy = {f"train/.ipynb_checkpoints/{index}.png": image_bytes((9, 9, 9)) for index in range(2)}
    path = image_folder(tmp_path / "i.zip", {**copy, "train/red/._0.png": b"no image"})
    data = load_images(path, Wanted(None, None, 3), tmp_path, None, 0)
    told = inspect_dataset(path).classes or ()
    assert data.y_train[""].tolist() == [label for label, row in enumerate(told) for _ in range(row.num_train)]


@pytest.mark.parametrize("folder", ["", "photos/"])
def test_images_alone_are_data_without_targets(tmp_path: Path, folder: str) -> None:
    with zipfile.ZipFile(tmp_path / "i.zip", "w") as archive:
        for name, colour in COLOURS.items():
            archive.writestr(f"{folder}{name}.png", image_bytes(colour))
    data = load_images(tmp_path / "i.zip", Wanted(4, 6, 3), tmp_path, None, 0)
    assert not data.is_labelled
    assert data.x_train[""][:, 0, 0].tolist() == [list(COLOURS["blue"]), list(COLOURS["red"])]


def test_npz_without_targets(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_train=np.ones((3, 2)))
    assert not load_npz(tmp_path / "data.npz", tmp_path).is_labelled


def test_images_are_resized_to_what_the_model_takes(tmp_path: Path) -> None:
    data = load_images(image_folder(tmp_path / "i.zip"), Wanted(8, 5, 1), tmp_path, None, 0)
    assert data.x_train[""].shape == (4, 8, 5, 1)
    assert data.x_train[""].dtype == np.uint8


def test_a_subset_is_random_and_the_same_each_time(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "i.zip")
    first, second = (load_images(path, Wanted(4, 6, 3), tmp_path, 2, 3).y_train[""].tolist() for _ in range(2))
    assert first == second
    assert len(first) == 2


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "i.zip", {"train/red/broken.png": image_bytes((1, 2, 3))[:40]})
    with pytest.raises(DataError, match=r"train/red/broken\.png"):
        load_images(path, Wanted(4, 6, 3), tmp_path, None, 0)


def test_an_image_of_absurd_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "i.zip", {"train/red/huge.png": image_bytes((0, 0, 0), size=(6000, 6000))})
    with pytest.raises(DataError, match="25 megapixels"):
        load_images(path, Wanted(4, 6, 3), tmp_path, None, 0)


def test_a_png_bomb_is_refused(tmp_path: Path) -> None:
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 90_000, 90_000, 8, 2, 0, 0, 0)
    bomb = header + struct.pack(">I", zlib.crc32(header[12:])) + struct.pack(">I4s", 0, b"IDAT") + bytes(4)
    path = image_folder(tmp_path / "i.zip", {"train/red/bomb.png": bomb})
    with pytest.raises(DataError, match="too large"):
        load_images(path, Wanted(4, 6, 3), tmp_path, None, 0)


def test_a_member_that_does_not_inflate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "i.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/red/0.png", image_bytes((1, 2, 3)) * 50)
        archive.writestr("train/sea/0.png", image_bytes((1, 2, 3)))
    content = bytearray(path.read_bytes())
    content[45:75] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train/red/0\.png"):
        load_images(path, Wanted(4, 6, 3), tmp_path, None, 0)


def test_a_class_without_training_images(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "i.zip", {"validation/green/0.png": image_bytes((0, 9, 0))})
    with pytest.raises(DataError, match="'green'"):
        load_images(path, Wanted(4, 6, 3), tmp_path, None, 0)


def test_no_images_at_all(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "i.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(DataError, match="not an image"):
        load_images(tmp_path / "i.zip", Wanted(4, 6, 3), tmp_path, None, 0)


def test_a_model_that_takes_no_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="7 channels"):
        load_images(image_folder(tmp_path / "i.zip"), Wanted(4, 6, 7), tmp_path, None, 0)


def images_model() -> keras.Model:
    return keras.Sequential([keras.Input((4, 6, 3)), layers.Flatten(), layers.Dense(2)])


def test_a_folder_is_what_a_zip_of_it_is(tmp_path: Path) -> None:
    zipped = image_folder(tmp_path / "i.zip", {".hidden/x.png": b"", "train/.DS_Store": b""})
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path / "folder")
    made = []
    for source in (zipped, tmp_path / "folder"):
        (tmp_path / f"scratch of {source.name}").mkdir()
        made.append(load_dataset(source, images_model(), tmp_path / f"scratch of {source.name}"))
    for part in ("x_train", "y_train", "x_val", "y_val"):
        np.testing.assert_array_equal(getattr(made[0], part)[""], getattr(made[1], part)[""])


def test_the_form_is_told_by_what_a_file_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays", x_train=np.zeros((3, 4, 6, 3)))
    (tmp_path / "arrays.npz").rename(tmp_path / "no suffix")
    assert load_dataset(tmp_path / "no suffix", images_model(), tmp_path).num_train == 3
    assert load_dataset("digits", images_model(), tmp_path).num_train == 1437


def test_what_is_not_there_is_told_with_what_could_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent.*zip or folder of images"):
        load_dataset(tmp_path / "absent", images_model(), tmp_path)


def test_grey_images_of_16_bits_are_scaled(tmp_path: Path) -> None:
    grey = np.arange(24, dtype=np.uint16).reshape(4, 6) * 10
    for name, image in (("8", grey.astype(np.uint8)), ("16", grey * 257)):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr("a.png", buffer.getvalue())
            archive.writestr("b.png", buffer.getvalue())
        data = load_images(tmp_path / f"{name}.zip", Wanted(4, 6, 1), tmp_path, None, 0)
        np.testing.assert_array_equal(data.x_train[""][0, ..., 0], grey)


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    with zipfile.ZipFile(image_folder(tmp_path / "i.zip")) as archive:
        archive.extractall(tmp_path / "folder")
    (tmp_path / "folder" / "train" / "red").rename(tmp_path / "elsewhere")
    (tmp_path / "folder" / "train" / "red").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder" / "train" / "round").symlink_to(tmp_path / "folder")
    data = load_images(tmp_path / "folder", Wanted(4, 6, 3), tmp_path, None, 0)
    assert data.y_train[""].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("at", "value"), [(6, 1), (8, 9)], ids=["encrypted", "compressed in a way of its own"])
def test_a_zip_that_cannot_be_opened(tmp_path: Path, at: int, value: int) -> None:
    content = bytearray(image_folder(tmp_path / "i.zip").read_bytes())
    for start in (match.start() for match in re.finditer(rb"PK\x01\x02", content)):
        content[start + at + 2] = value
    for start in (match.start() for match in re.finditer(rb"PK\x03\x04", content)):
        content[start + at] = value
    (tmp_path / "i.zip").write_bytes(content)
    with pytest.raises(DataError, match="Cannot decode"):
        load_images(tmp_path / "i.zip", Wanted(4, 6, 3), tmp_path, None, 0)


def test_nothing_is_left_in_the_scratch_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    np.savez_compressed(tmp_path / "data.npz", x_train=np.ones((4, 2)), y_train=np.arange(4))
    arrays, images = load_npz(tmp_path / "data.npz", scratch), image_folder(tmp_path / "i.zip")
    decoded = load_images(images, Wanted(4, 6, 3), scratch, None, 0)
    assert list(scratch.iterdir()) == []
    assert arrays.x_train[""][:].sum() == 8
    assert decoded.x_train[""][0, 0, 0].tolist() == [0, 0, 200]
