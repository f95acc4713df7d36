"""The files of a zip or folder: which of them count, and which split each belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pruning.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Name of a folder, in lower case → the split that it holds."""

_LITTER = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Part:
    """The files of one split, or those that belong to none.

    Attributes:
        folder: The folder of the split as it is spelt, or `""`.
        files: Name in the zip → path below the folder, sorted by name.
    """

    folder: str = ""
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def folders(self) -> frozenset[str]:
        """The first folder of each file that lies in one."""
        return frozenset(path[0] for path in self.files.values() if len(path) > 1)


def parts(names: Iterable[str]) -> dict[str, Part]:
    """Sort files into `"train"`, `"validation"`, `"test"` and `"rest"`.

    Hidden files and what operating systems leave behind are skipped, and so are folders around everything.

    Raises:
        DataError: Two folders stand for the same split.
    """
    found: dict[str, Part] = {}
    for name, path in _below_common_folders(names).items():
        split = SPLITS.get(path[0].lower()) if len(path) > 1 else None
        folder, inside = (path[0], path[1:]) if split else ("", path)
        part = found.setdefault(split or "rest", Part(folder))
        if part.folder != folder:
            raise DataError(
                f"There are two folders of {split} images.",
                field="dataset",
                received=f"{part.folder}/ and {folder}/",
                expected=f"one folder, {split}/",
            )
        part.files[name] = inside
    return found


def _below_common_folders(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the path of each file that counts, without the folders that all of them share."""
    paths = {name: tuple(name.split("/")) for name in sorted(names) if not _is_litter(name)}
    while paths:
        tops = {path[0] for path in paths.values()}
        is_around_everything = len(tops) == 1 and min(map(len, paths.values())) > 1
        if not is_around_everything or tops.pop().lower() in SPLITS:
            break
        paths = {name: path[1:] for name, path in paths.items()}
    return paths


def _is_litter(name: str) -> bool:
    *folders, file = name.split("/")
    return file.lower() in _LITTER or any(part.startswith((".", "__MACOSX")) for part in (*folders, file))
