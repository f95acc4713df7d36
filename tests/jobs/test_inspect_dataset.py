from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import UnsupportedDatasetFileError
from jobs.inspection import inspect_dataset
from jobs.record import ArrayInfo, ClassInfo, ImagesInfo
from pruning.errors import DataError
from tests.uploads import digits_npz, image_folder, npy, npz_file, zipped

pytestmark = pytest.mark.fast


@pytest.fixture
def inspect(tmp_path: Path) -> Callable[[bytes], Any]:
    def write_and_inspect(data: bytes) -> Any:
        path = tmp_path / "upload"
        path.write_bytes(data)
        return inspect_dataset(path)

    return write_and_inspect


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"x,y\n1,2\n"])
def test_other_files_are_unsupported(inspect: Callable[[bytes], Any], data: bytes) -> None:
    with pytest.raises(UnsupportedDatasetFileError):
        inspect(data)


@pytest.mark.parametrize("num_bytes", [10, -1, -40])
def test_a_truncated_zip_is_refused(inspect: Callable[[bytes], Any], num_bytes: int) -> None:
    with pytest.raises(DataError, match="damaged"):
        inspect(digits_npz()[:num_bytes])


def test_arrays_are_described(inspect: Callable[[bytes], Any]) -> None:
    found = inspect(digits_npz())
    assert found.format == "npz"
    assert found.arrays == (
        ArrayInfo(name="x_train", dtype="float32", shape=(4, 8, 8, 1)),
        ArrayInfo(name="y_train", dtype="int64", shape=(4,)),
    )


X, Y = npy((4, 3)), npy((4,), "|u1")

GOOD: dict[str, dict[str, bytes]] = {
    "validation arrays": {"x_train": X, "y_train": Y, "x_val": npy((2, 3)), "y_val": npy((2,))},
    "several inputs": {"x_train.left": X, "x_train.right": X, "y_train": Y},
    "several of all": {"x_train.a": X, "y_train.b": Y, "x_val.a": X, "y_val.b": Y},
    "column order": {"x_train": npy((4, 3), fortran_order=True), "y_train": Y},
    "sample weights": {"x_train": X, "y_train": Y, "sample_weight_train": npy((4,))},
    "weights by output": {"x_train": X, "y_train.a": Y, "y_train.b": Y, "sample_weight_train.a": npy((4,))},
    "truth values": {"x_train": X, "y_train": npy((4,), "|b1")},
    "big endian": {"x_train": npy((4, 3), ">f8"), "y_train": Y},
}


@pytest.mark.parametrize("arrays", GOOD.values(), ids=list(GOOD))
def test_sound_arrays_are_accepted(inspect: Callable[[bytes], Any], arrays: dict[str, bytes]) -> None:
    found = inspect(npz_file(**arrays))
    assert {array.name for array in found.arrays} == set(arrays)
    assert found.labelled


@pytest.mark.parametrize("arrays", [{"x_train": X}, {"x_train.a": X, "x_train.b": X}, {"x_train": X, "x_val": X}])
def test_inputs_alone_are_accepted_as_unlabelled(inspect: Callable[[bytes], Any], arrays: dict[str, bytes]) -> None:
    assert not inspect(npz_file(**arrays)).labelled


BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "wrong names": ({"images": X, "labels": Y}, "wrong arrays"),
    "labels for validation alone": ({"x_train": X, "x_val": X, "y_val": Y}, "without y_train"),
    "weights and no targets": ({"x_train": X, "sample_weight_train": npy((4,))}, "without y_train"),
    "fewer weights": ({"x_train": X, "y_train": Y, "sample_weight_train": npy((3,))}, "different lengths"),
    "no inputs": ({"y_train": Y}, "no x_train"),
    "only half a validation set": ({"x_train": X, "y_train": Y, "x_val": X}, "only one of"),
    "plain and named inputs": ({"x_train": X, "x_train.a": X, "y_train": Y}, "both"),
    "other inputs for validation": ({"x_train.a": X, "y_train": Y, "x_val.b": X, "y_val": Y}, "other names"),
    "a name that leads elsewhere": ({"x_train": X, "y_train": Y, "x_val.../../a": X}, "unsafe name"),
    "mismatched lengths": ({"x_train": X, "y_train": npy((5,))}, "different lengths"),
    "mismatched validation": ({"x_train": X, "y_train": Y, "x_val": X, "y_val": npy((1,))}, "different lengths"),
    "nothing in it": ({"x_train": npy((0, 3)), "y_train": npy((0,))}, "too few samples"),
    "one sample": ({"x_train": npy((1, 3)), "y_train": npy((1,))}, "too few samples"),
    "no axis": ({"x_train": npy(()), "y_train": Y}, "shape of"),
    "too many axes": ({"x_train": npy((4, 1, 1, 1, 1, 1)), "y_train": Y}, "shape of"),
    "complex numbers": ({"x_train": npy((4,), "<c8"), "y_train": Y}, "dtype of"),
    "objects": ({"x_train": npy((4,), "|O8"), "y_train": Y}, "dtype of"),
    "texts": ({"x_train": X, "y_train": npy((4,), "<U8")}, "dtype of"),
    "dates": ({"x_train": X, "y_train": npy((4,), "<M8")}, "dtype of"),
    "long doubles": ({"x_train": npy((4,), "<f16"), "y_train": Y}, "dtype of"),
    "fewer bytes than declared": ({"x_train": X[:-1], "y_train": Y}, "does not match its shape"),
    "more bytes than declared": ({"x_train": X + b"0", "y_train": Y}, "does not match its shape"),
    "no array": ({"x_train": b"numbers", "y_train": Y}, "not an .npy file"),
    "a header of code": ({"x_train": X.replace(b"{'descr'", b"f('descr'"), "y_train": Y}, "header"),
    "a negative length": ({"x_train": X.replace(b"(4, 3)", b"(-4,3)"), "y_train": Y}, "header"),
    "an endless header": ({"x_train": b"\x93NUMPY\x01\x00\xff\xff" + b"-" * 70_000, "y_train": Y}, "header"),
    "a nested header": ({"x_train": b"\x93NUMPY\x01\x00\xd0\x07" + b"(" * 2000, "y_train": Y}, "header"),
}


@pytest.mark.parametrize(("arrays", "reason"), BAD.values(), ids=list(BAD))
def test_unusable_arrays_are_refused(inspect: Callable[[bytes], Any], arrays: dict[str, bytes], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        inspect(npz_file(**arrays))
    assert caught.value.code == "unusable-dataset"
    assert caught.value.field
    assert caught.value.received
    assert caught.value.expected


IMAGES = ("train/cat/1.jpg", "train/cat/2.PNG", "train/dog/1.jpeg")


def test_classes_are_counted(inspect: Callable[[bytes], Any]) -> None:
    found = inspect(image_folder(*IMAGES, "validation/cat/1.jpg", "validation/dog/1.jpg", "test/cat/1.jpg", "README"))
    assert found.format == "image_folder"
    assert found.classes == (
        ClassInfo(name="cat", num_train=2, num_validation=1),
        ClassInfo(name="dog", num_train=1, num_validation=1),
    )


FLAT = {"at the top": "", "in a folder": "photos/", "in train": "train/"}


@pytest.mark.parametrize("folder", FLAT.values(), ids=list(FLAT))
def test_images_without_class_folders_are_accepted_as_unlabelled(inspect: Callable[[bytes], Any], folder: str) -> None:
    left_behind = ("__MACOSX/._1.jpg", f"{folder}.DS_Store", f"{folder}.cache/3.jpg")
    found = inspect(image_folder(f"{folder}1.jpg", f"{folder}2.PNG", *left_behind))
    assert (found.format, found.classes, found.labelled) == ("image_folder", None, False)


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (("1.jpg", "2.jpg", "labels.txt"), "not an image"),
        (("a/1.jpg", "b/2.jpg"), "no training images"),
        (("1.jpg",), "too few"),
    ],
)
def test_images_that_may_have_labels_somewhere_are_refused(
    inspect: Callable[[bytes], Any], paths: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        inspect(image_folder(*paths))


def test_validation_may_be_absent(inspect: Callable[[bytes], Any]) -> None:
    found = inspect(image_folder(*IMAGES, "train/cat/.DS_Store", "train/dog/Thumbs.db"))
    assert [row.num_validation for row in found.classes] == [None, None]


BAD_FOLDERS: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": (("README",), "not an image"),
    "classes without train": (tuple(name.removeprefix("train/") for name in IMAGES), "no training images"),
    "one class": (IMAGES[:2], "number of classes"),
    "other classes for validation": ((*IMAGES, "validation/bird/1.jpg"), "no training images"),
    "something else than images": ((*IMAGES, "train/cat/notes.txt"), "not an image"),
    "folders in classes": ((*IMAGES, "train/cat/more/1.jpg"), "outside the class folders"),
    "images without a class": ((*IMAGES, "train/1.jpg"), "outside the class folders"),
    "an absolute name": ((*IMAGES, "/train/cat/3.jpg"), "unsafe name"),
    "a name that leads outside": ((*IMAGES, "train/../../3.jpg"), "unsafe name"),
}


@pytest.mark.parametrize(("paths", "reason"), BAD_FOLDERS.values(), ids=list(BAD_FOLDERS))
def test_unusable_folders_are_refused(inspect: Callable[[bytes], Any], paths: tuple[str, ...], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        inspect(image_folder(*paths))


def test_the_field_is_the_file(inspect: Callable[[bytes], Any]) -> None:
    with pytest.raises(DataError) as caught:
        inspect(image_folder(*IMAGES[:2]))
    assert caught.value.field == "file"


def test_masks_are_told(inspect: Callable[[bytes], Any]) -> None:
    found = inspect(image_folder(*(f"train/{kind}/{n}.png" for kind in ("images", "masks") for n in range(3))))
    assert found.images == ImagesInfo(targets="masks", num_train=3)
    assert (found.classes, found.labelled) == (None, True)


def test_a_table_is_told(inspect: Callable[[bytes], Any]) -> None:
    table = b"image,x,y\n1.jpg,0.5,2\n2.jpg,1,3\n"
    found = inspect(zipped({"images/1.jpg": b"1", "images/2.jpg": b"2", "labels.csv": table}))
    assert found.images == ImagesInfo(targets="table", num_train=2, columns=("x", "y"))


def test_an_empty_mask_is_refused(inspect: Callable[[bytes], Any]) -> None:
    files = {f"train/{kind}/{n}.png": b"x" for kind in ("images", "masks") for n in range(3)}
    with pytest.raises(DataError, match="empty"):
        inspect(zipped(files | {"train/masks/2.png": b""}))


def test_empty_files_that_do_not_count_are_no_matter(inspect: Callable[[bytes], Any]) -> None:
    assert inspect(zipped(dict.fromkeys(IMAGES, b"x") | {"test/a.jpg": b"", "train/cat/.x.jpg": b""})).labelled


def test_a_file_called_val_is_ignored(inspect: Callable[[bytes], Any]) -> None:
    assert len(inspect(image_folder(*IMAGES, "val")).classes) == 2


def test_an_empty_image_is_refused(inspect: Callable[[bytes], Any]) -> None:
    with pytest.raises(DataError, match="empty"):
        inspect(zipped({"train/cat/1.jpg": b"", "train/dog/1.jpg": b"x"}))


def test_an_empty_zip_is_refused(inspect: Callable[[bytes], Any]) -> None:
    with pytest.raises(DataError):
        inspect(zipped({}))
