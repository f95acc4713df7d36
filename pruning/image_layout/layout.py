"""The images of a zip or folder, in one of four forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from pruning.errors import DataError
from pruning.image_layout.masks import IMAGES, MASKS, with_masks
from pruning.image_layout.names import IMAGE_SUFFIXES, SPLITS, Part, parts
from pruning.image_layout.sample import Sample
from pruning.image_layout.table import SUFFIX, Table, has_targets

LAYOUT = (
    "train/<class>/<image>; or train/images/<name>.jpg with train/masks/<name>.png; or train.csv with the columns "
    "image, number, …; validation and test in the same way; or unlabelled images in one folder; JPEG or PNG"
)
MAX_CLASSES = 10_000

Form = Literal["classes", "masks", "table", "unlabelled"]
Read = Callable[[str], bytes]


@dataclass(frozen=True)
class ImageLayout:
    """The images of a zip or folder, and their targets.

    Attributes:
        form: What targets are: the class folder of each image, masks, the numbers of a table, or nothing.
        train: Images to train on.
        validation: Images to validate on; empty if there are none.
        test: Images to measure the finished model on; empty if there are none, or none with targets.
        columns: Names of the numbers of a table.
    """

    form: Form
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...] = ()
    test: tuple[Sample, ...] = ()
    columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str], read: Read) -> ImageLayout:
        """Return the layout of a zip or folder.

        Args:
            names: Relative paths of all files.
            read: Returns the bytes of a file; only tables are read.

        Raises:
            DataError: There are no images in a known layout, or they do not fit each other.
        """
        found = parts(names)
        layout = _with_tables(found, read) or _with_folders(found) or _without_folders(found, read)
        if layout is None:
            raise _no_layout(found)
        _check_numbers(layout)
        return layout

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in alphabetical order; empty if targets are something else."""
        return tuple(sorted({str(sample.target) for sample in self.train})) if self.form == "classes" else ()

    def count_classes(self) -> dict[str, tuple[int, int]]:
        """Return how many images of each class there are to train and to validate on."""
        train, validation = (Counter(sample.target for sample in split) for split in (self.train, self.validation))
        return {name: (train[name], validation[name]) for name in self.classes}


def _check_numbers(layout: ImageLayout) -> None:
    if len(layout.train) < 2:
        raise DataError(
            "The dataset has too few training images.",
            field="dataset",
            received=f"{len(layout.train)} image",
            expected="at least 2",
        )
    if layout.form == "classes" and not 2 <= len(layout.classes) <= MAX_CLASSES:
        raise DataError(
            "The number of classes is out of range.",
            field="dataset",
            received=f"{len(layout.classes)} class folders with training images",
            expected=f"2 to {MAX_CLASSES}",
        )


def _with_tables(found: dict[str, Part], read: Read) -> ImageLayout | None:
    """Return the layout by `train.csv` at the top, or by a table in `train/`."""
    tables: dict[str, str] = {}
    for split, part in found.items():
        for name, path in part.files.items():
            stem = path[-1].lower().removesuffix(SUFFIX)
            if len(path) == 1 and stem != path[-1].lower() and (split != "rest" or stem in SPLITS):
                own = SPLITS[stem] if split == "rest" else split
                if own in tables:
                    raise DataError(
                        f"There are two tables for the {own} images.",
                        field="dataset",
                        received=f"{tables[own]} and {name}",
                        expected=f"one, {own}.csv",
                    )
                tables[own] = name
    return _by_tables(found, tables, read) if "train" in tables else None


def _by_tables(found: dict[str, Part], tables: dict[str, str], read: Read) -> ImageLayout:
    names = {name for part in found.values() for name in part.files if name.lower().endswith(IMAGE_SUFFIXES)}
    read_tables = {}
    for split, name in tables.items():
        top = name[: name.rfind("/") + 1]
        folder = found[split].folder if split in found else split
        folders = tuple(f"{top}{below}" for below in ("", f"{folder}/", f"{IMAGES}/", f"{folder}/{IMAGES}/"))
        content = read(name)
        if split != "test" or has_targets(content):
            read_tables[split] = Table.read(name, content, folders, names)
    train = read_tables["train"]
    for split, table in read_tables.items():
        if table.columns != train.columns:
            raise DataError(
                f"The tables of training and {split} images have different columns.",
                field="dataset",
                received=f"{', '.join(train.columns)[:200]} and {', '.join(table.columns)[:200]}",
                expected="the same columns in both",
            )
    form: Form = "table" if train.columns else "unlabelled"
    validation, test = (read_tables[split].samples if split in read_tables else () for split in ("validation", "test"))
    return ImageLayout(form, train.samples, validation, test, train.columns)


def _with_folders(found: dict[str, Part]) -> ImageLayout | None:
    """Return the layout by what `train/` holds."""
    if "train" not in found:
        return None
    form, train = _samples(found["train"])
    classes = {str(sample.target) for sample in train} if form == "classes" else None
    validation, test = (_held_out(found, split, form, classes) for split in ("validation", "test"))
    return ImageLayout(form, train, validation, test)


def _held_out(found: dict[str, Part], split: str, form: Form, classes: set[str] | None) -> tuple[Sample, ...]:
    """Return the images to validate or to test on."""
    if split not in found:
        return ()
    own_form, samples = _samples(found[split])
    if split == "test" and own_form == "unlabelled":
        return ()  # As contests have them: nothing can be measured on them.
    if form != own_form:
        raise DataError(
            f"The training and {split} images have different layouts.",
            field="dataset",
            received=f"{form} in {found['train'].folder}/, {own_form} in {found[split].folder}/",
            expected="the same in both",
        )
    unknown = sorted({str(sample.target) for sample in samples} - classes) if classes is not None else []
    if unknown:
        raise DataError(
            f"The class {unknown[0]!r} has {split} images but no training images.",
            field="dataset",
            received=", ".join(unknown)[:200],
            expected="only classes that have a folder in train/",
        )
    return samples


def _without_folders(found: dict[str, Part], read: Read) -> ImageLayout | None:
    """Return the layout of images that are in no split: images and masks, one table, or images alone."""
    rest = found.get("rest", Part())
    if "validation" in found or not rest.files:
        return None
    if rest.folders >= {IMAGES, MASKS}:
        inside = {name: path for name, path in rest.files.items() if path[0] in (IMAGES, MASKS)}
        return ImageLayout(*_samples(Part("", inside)))
    tables = [name for name, path in rest.files.items() if len(path) == 1 and name.lower().endswith(SUFFIX)]
    if len(tables) == 1:
        return _by_tables(found, {"train": tables[0]}, read)
    if rest.folders:
        return None
    return ImageLayout(*_samples(rest))


def _samples(part: Part) -> tuple[Form, tuple[Sample, ...]]:
    """Return the images in one folder, and which form they have."""
    for name in part.files:
        if not name.lower().endswith(IMAGE_SUFFIXES):
            raise DataError(
                f"{part.folder or 'The dataset'}{'/' if part.folder else ''} contains a file that is not an image.",
                field="dataset",
                received=name[:200],
                expected=LAYOUT,
                hint="Remove the file, or convert it to JPEG or PNG.",
            )
    pairs = with_masks(part)
    if pairs is not None:
        return "masks", pairs
    depths = {len(path) for path in part.files.values()}
    if depths == {1}:
        return "unlabelled", tuple(Sample(name) for name in part.files)
    if depths != {2}:
        wrong = next(name for name, path in part.files.items() if len(path) != 2)
        raise DataError(
            f"{part.folder}/ has an image outside the class folders or in a subfolder of one.",
            field="dataset",
            received=wrong[:200],
            expected=LAYOUT,
        )
    return "classes", tuple(Sample(name, path[0]) for name, path in part.files.items())


def _no_layout(found: dict[str, Part]) -> DataError:
    tops = sorted({path[0] for split, part in found.items() for path in _tops(split, part)})
    are_classes = bool(found.get("rest", Part()).folders) and "train" not in found
    return DataError(
        "There are no training images.",
        field="dataset",
        received=f"top level: {', '.join(tops[:5])[:200] or 'empty'}",
        expected=LAYOUT,
        hint="If these folders are classes, move them to a folder train/." if are_classes else None,
    )


def _tops(split: str, part: Part) -> list[tuple[str, ...]]:
    return [(part.folder,)] if split != "rest" else list(part.files.values())
