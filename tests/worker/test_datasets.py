"""Datasets: real files in, arrays out, and a clear error that names what is wrong."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.inspection import inspect_dataset
from pruning.errors import DataError
from worker.datasets import load_builtin, load_image_folder, load_npz

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
    assert set(load_npz(tmp_path / "data.npz").x_train) == {"left", "right"}


def test_npz_with_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_train=np.array([{}, {}], dtype=object), y_train=np.arange(2))
    with pytest.raises(DataError, match="cannot be read"):
        load_npz(tmp_path / "data.npz")


def test_damaged_npz(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(DataError, match="cannot be read"):
        load_npz(tmp_path / "data.npz")


def test_classes_are_numbered_alphabetically(tmp_path: Path) -> None:
    data = load_image_folder(image_folder(tmp_path / "i.zip"), (None, None, 3), tmp_path, None, 0)
    assert data.x_train[""].shape == (4, 4, 6, 3)
    assert data.y_train[""].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(data.x_train[""][0, 0, 0], COLOURS["blue"])
    assert data.y_val[""].tolist() == [0, 1]


def test_what_editors_leave_behind_is_no_class(tmp_path: Path) -> None:
    copy = {f"train/.ipynb_checkpoints/{index}.png": image_bytes((9, 9, 9)) for index in range(2)}
    path = image_folder(tmp_path / "i.zip", {**copy, "train/red/._0.png": b"no image"})
    data = load_image_folder(path, (None, None, 3), tmp_path, None, 0)
    told = inspect_dataset(path).classes or ()
    assert data.y_train[""].tolist() == [label for label, row in enumerate(told) for _ in range(row.num_train)]


@pytest.mark.parametrize("folder", ["", "photos/"])
def test_images_alone_are_data_without_targets(tmp_path: Path, folder: str) -> None:
    with zipfile.ZipFile(tmp_path / "i.zip", "w") as archive:
        for name, colour in COLOURS.items():
            archive.writestr(f"{folder}{name}.png", image_bytes(colour))
    data = load_image_folder(tmp_path / "i.zip", (4, 6, 3), tmp_path, None, 0)
    assert not data.is_labelled
    assert data.x_train[""][:, 0, 0].tolist() == [list(COLOURS["blue"]), list(COLOURS["red"])]


def test_npz_without_targets(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_train=np.ones((3, 2)))
    assert not load_npz(tmp_path / "data.npz").is_labelled


def test_images_are_resized_to_what_the_model_takes(tmp_path: Path) -> None:
    data = load_image_folder(image_folder(tmp_path / "i.zip"), (8, 5, 1), tmp_path, None, 0)
    assert data.x_train[""].shape == (4, 8, 5, 1)
    assert data.x_train[""].dtype == np.uint8


def test_a_subset_is_random_and_the_same_each_time(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "i.zip")
    first, second = (load_image_folder(path, (4, 6, 3), tmp_path, 2, 3).y_train[""].tolist() for _ in range(2))
    assert first == second
    assert len(first) == 2


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "i.zip", {"train/red/broken.png": image_bytes((1, 2, 3))[:40]})
    with pytest.raises(DataError, match=r"train/red/broken\.png"):
        load_image_folder(path, (4, 6, 3), tmp_path, None, 0)


def test_an_image_of_absurd_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "i.zip", {"train/red/huge.png": image_bytes((0, 0, 0), size=(6000, 6000))})
    with pytest.raises(DataError, match="25 megapixels"):
        load_image_folder(path, (4, 6, 3), tmp_path, None, 0)


def test_a_png_bomb_is_refused(tmp_path: Path) -> None:
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 90_000, 90_000, 8, 2, 0, 0, 0)
    bomb = header + struct.pack(">I", zlib.crc32(header[12:])) + struct.pack(">I4s", 0, b"IDAT") + bytes(4)
    path = image_folder(tmp_path / "i.zip", {"train/red/bomb.png": bomb})
    with pytest.raises(DataError, match="too large"):
        load_image_folder(path, (4, 6, 3), tmp_path, None, 0)


def test_a_member_that_does_not_inflate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "i.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/red/0.png", image_bytes((1, 2, 3)) * 50)
    content = bytearray(path.read_bytes())
    content[45:75] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train/red/0\.png"):
        load_image_folder(path, (4, 6, 3), tmp_path, None, 0)


def test_a_class_without_training_images(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "i.zip", {"validation/green/0.png": image_bytes((0, 9, 0))})
    with pytest.raises(DataError, match="'green'"):
        load_image_folder(path, (4, 6, 3), tmp_path, None, 0)


def test_no_images_at_all(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "i.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(DataError, match="no training images"):
        load_image_folder(tmp_path / "i.zip", (4, 6, 3), tmp_path, None, 0)


def test_a_model_that_takes_no_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="7 channels"):
        load_image_folder(image_folder(tmp_path / "i.zip"), (4, 6, 7), tmp_path, None, 0)
