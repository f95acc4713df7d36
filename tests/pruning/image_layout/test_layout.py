"""Image layouts: names and tables in, samples out, and one refusal for each that cannot be understood."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pruning.errors import DataError
from pruning.image_layout import ImageLayout, Sample

pytestmark = pytest.mark.fast

CLASSES = ("train/cat/1.jpg", "train/cat/2.PNG", "train/dog/1.jpeg")
PAIRS = ("images/a.jpg", "images/b.png", "masks/a.png", "masks/b.png")


def layout(names: Iterable[str], tables: dict[str, str] | None = None) -> ImageLayout:
    tables = tables or {}
    return ImageLayout.of([*names, *tables], lambda name: tables[name].encode())


def below(folder: str, names: Iterable[str]) -> list[str]:
    return [f"{folder}/{name}" for name in names]


def test_class_folders() -> None:
    found = layout((*CLASSES, "validation/cat/3.jpg", "README.md"))
    assert found.form == "classes"
    assert found.classes == ("cat", "dog")
    assert found.train == (
        Sample("train/cat/1.jpg", "cat"), Sample("train/cat/2.PNG", "cat"), Sample("train/dog/1.jpeg", "dog"),
    )  # fmt: skip
    assert found.validation == (Sample("validation/cat/3.jpg", "cat"),)
    assert found.count_classes() == {"cat": (2, 1), "dog": (1, 0)}


@pytest.mark.parametrize("train", ["train", "Train", "training"])
@pytest.mark.parametrize("validation", ["validation", "val", "valid", "Val", "dev"])
def test_other_names_of_splits(train: str, validation: str) -> None:
    names = [name.replace("train", train) for name in CLASSES]
    found = layout((*names, f"{validation}/cat/1.jpg", "Test/dog/1.jpg", "Test/cat/9.jpg"))
    assert (len(found.train), len(found.validation), len(found.test)) == (3, 1, 2)
    assert found.classes == ("cat", "dog")


@pytest.mark.parametrize("folder", ["data", "a/b", "images"])
def test_folders_around_everything(folder: str) -> None:
    inside, outside = layout((*CLASSES, "val/dog/1.jpg")), layout(below(folder, (*CLASSES, "val/dog/1.jpg")))
    assert [sample.target for sample in outside.train] == [sample.target for sample in inside.train]
    assert len(outside.validation) == 1


LITTER = (
    ".DS_Store", "train/.DS_Store", "train/cat/._1.jpg", "__MACOSX/train/cat/._1.jpg", "train/.cache/1.jpg",
    "train/cat/Thumbs.db", "train/dog/desktop.ini", ".git/x.png", "train/.ipynb_checkpoints/1.jpg",
)  # fmt: skip


@pytest.mark.parametrize("name", LITTER)
def test_what_is_left_behind_does_not_count(name: str) -> None:
    assert layout((*CLASSES, name)) == layout(CLASSES)


@pytest.mark.parametrize("folder", ["", "photos/", "train/", "a/b/"])
def test_images_alone(folder: str) -> None:
    found = layout([f"{folder}1.jpg", f"{folder}2.jpg"])
    assert (found.form, [sample.target for sample in found.train]) == ("unlabelled", [None, None])


@pytest.mark.parametrize("split", ["", "train/"])
def test_masks_are_paired_by_name(split: str) -> None:
    found = layout(f"{split}{name}" for name in PAIRS)
    assert found.form == "masks"
    assert [(sample.image, sample.target) for sample in found.train] == [
        (f"{split}images/a.jpg", f"{split}masks/a.png"), (f"{split}images/b.png", f"{split}masks/b.png"),
    ]  # fmt: skip


def test_masks_in_folders_and_with_an_ending() -> None:
    names = ["images/x/1.jpg", "images/y/1.jpg", "masks/x/1_mask.png", "masks/y/1_mask.png"]
    found = layout([*below("train", names), *below("val", PAIRS)])
    assert [sample.target for sample in found.train] == ["train/masks/x/1_mask.png", "train/masks/y/1_mask.png"]
    assert len(found.validation) == 2


TABLE = "image,age,height\n1.jpg,3,0.5\nsub/2.jpg,4,1e1\n"


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("train.csv", ""),
        ("train.csv", "train/"),
        ("train.csv", "images/"),
        ("train.csv", "train/images/"),
        ("train/labels.csv", "train/"),
        ("train/metadata.csv", "train/images/"),
        ("labels.csv", ""),
        ("labels.csv", "images/"),
        ("data/Training.CSV", "data/"),
    ],
)
def test_a_table_of_numbers(table: str, folder: str) -> None:
    found = layout([f"{folder}1.jpg", f"{folder}sub/2.jpg", f"{folder}unlisted.jpg"], {table: TABLE})
    assert (found.form, found.columns) == ("table", ("age", "height"))
    assert found.train == (Sample(f"{folder}1.jpg", (3.0, 0.5)), Sample(f"{folder}sub/2.jpg", (4.0, 10.0)))


def test_two_tables() -> None:
    tables = {"train.csv": "f,y\na.jpg,1\nb.jpg,2\n", "val.csv": "f,y\nc.jpg,3\n", "test.csv": "f\nd.jpg\n"}
    found = layout(["train/a.jpg", "train/b.jpg", "val/c.jpg"], tables)
    assert found.validation == (Sample("val/c.jpg", (3.0,)),)
    assert found.test == ()
    tables["test.csv"] = "f,y\nd.jpg,5\n"
    assert layout(["train/a.jpg", "train/b.jpg", "val/c.jpg", "d.jpg"], tables).test == (Sample("d.jpg", (5.0,)),)


def test_unlabelled_test_images_do_not_count() -> None:
    assert layout((*CLASSES, "test/1.jpg")) == layout(CLASSES)


@pytest.mark.parametrize(
    "text", [TABLE.replace(",", ";"), TABLE.replace(",", "\t"), "\ufeff" + TABLE, TABLE + "\n,,\n"]
)
def test_dialects_of_tables(text: str) -> None:
    assert layout(["1.jpg", "sub/2.jpg"], {"t.csv": text}) == layout(["1.jpg", "sub/2.jpg"], {"t.csv": TABLE})


def test_a_table_that_only_lists_images() -> None:
    found = layout(["1.jpg", "2.jpg", "3.jpg"], {"train.csv": "image\n1.jpg\n3.jpg\n"})
    assert (found.form, [sample.image for sample in found.train]) == ("unlabelled", ["1.jpg", "3.jpg"])


def test_class_folders_beside_some_table() -> None:
    assert layout(CLASSES, {"notes.csv": "a,b\n"}).form == "classes"


REFUSED: dict[str, tuple[list[str], dict[str, str], str]] = {
    "nothing": ([], {}, "no training images"),
    "only validation": (["val/cat/1.jpg"], {}, "no training images"),
    "one class": (list(CLASSES[:2]), {}, "number of classes"),
    "one image": (["1.jpg"], {}, "too few"),
    "classes without train": (["cat/1.jpg", "dog/1.jpg"], {}, "move them to a folder train/"),
    "two folders of validation": ([*CLASSES, "val/cat/1.jpg", "valid/cat/1.jpg"], {}, "two folders of"),
    "another file": ([*CLASSES, "train/cat/3.gif"], {}, "not an image"),
    "a class of validation alone": ([*CLASSES, "val/bird/1.jpg"], {}, "'bird'"),
    "a class of test alone": ([*CLASSES, "test/bird/1.jpg"], {}, "'bird' has test images"),
    "another form for test": ([*CLASSES, *below("test", PAIRS)], {}, "different layouts"),
    "another form for validation": ([*CLASSES, "val/1.jpg"], {}, "different layouts"),
    "an image beside class folders": ([*CLASSES, "train/1.jpg"], {}, "outside the class folders"),
    "folders in classes": ([*CLASSES, "train/cat/x/1.jpg"], {}, "outside the class folders"),
    "an image without a mask": ([*PAIRS, "images/c.jpg"], {}, "no counterpart"),
    "a mask without an image": ([*PAIRS, "masks/c.png"], {}, "no counterpart"),
    "two images for a mask": ([*PAIRS, "images/a.png"], {}, "the same name"),
    "a mask as JPEG": ([*PAIRS, "images/c.jpg", "masks/c.jpg"], {}, "not a PNG"),
    "more than masks": (below("train", [*PAIRS, "other/a.png"]), {}, "other files"),
    "masks called labels": (["train/images/a.jpg", "train/labels/a.png"], {}, "Rename labels/"),
    "a missing image": (["1.jpg"], {"t.csv": TABLE}, "row 3: the image does not exist"),
    "an image twice": (["1.jpg"], {"t.csv": "f,y\n1.jpg,1\n1.jpg,2\n"}, "twice"),
    "no header": (["1.jpg", "2.jpg"], {"t.csv": "1.jpg,1\n2.jpg,2\n"}, "not a header"),
    "no rows": (["1.jpg"], {"t.csv": "f,y\n"}, "lists no images"),
    "an empty table": (["1.jpg"], {"t.csv": ""}, "lists no images"),
    "a name of a class": (["1.jpg", "2.jpg"], {"t.csv": "f,y\n1.jpg,cat\n2.jpg,dog\n"}, "class folders"),
    "an empty cell": (["1.jpg", "2.jpg"], {"t.csv": "f,y\n1.jpg,1\n2.jpg,\n"}, "an empty cell"),
    "NaN": (["1.jpg", "2.jpg"], {"t.csv": "f,y\n1.jpg,nan\n2.jpg,1\n"}, "not a finite number"),
    "a short row": (["1.jpg", "2.jpg"], {"t.csv": "f,y\n1.jpg\n2.jpg,1\n"}, "as many columns"),
    "an open quote": (["1.jpg"], {"t.csv": 'f,y\n"1.jpg,1\n'}, "cannot be read"),
    "two tables for a split": (["1.jpg"], {"train.csv": TABLE, "training.csv": TABLE}, "two tables"),
    "other columns": (["1.jpg"], {"train.csv": "f,y\n1.jpg,1\n", "val.csv": "f,z\n1.jpg,1\n"}, "different columns"),
}


@pytest.mark.parametrize(("names", "tables", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(names: list[str], tables: dict[str, str], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        layout(names, tables)
    assert caught.value.received is not None
    assert caught.value.expected is not None


def test_a_table_in_another_encoding() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        ImageLayout.of(["1.jpg", "t.csv"], lambda name: "f,größe\n1.jpg,1\n".encode("latin-1"))
