"""A table of images and numbers: a CSV whose first column names an image, and whose other columns are its targets."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pruning.errors import DataError
from pruning.image_layout.sample import Sample

SUFFIX = ".csv"
MAX_TABLE_BYTES = 256 * 1024**2
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Table:
    """The rows of a CSV.

    Attributes:
        columns: Names of the columns of targets; empty where the table only lists images.
        samples: One for each row, in their order.
    """

    columns: tuple[str, ...]
    samples: tuple[Sample, ...]

    @classmethod
    def read(cls, name: str, content: bytes, folders: tuple[str, ...], names: Collection[str]) -> Table:
        """Read a table.

        Args:
            name: The table's, for errors.
            content: Its bytes: UTF-8, with a header; commas, semicolons or tabs between columns.
            folders: What may stand before the names of images, such as `""` or `"train/"`; the first that fits counts.
            names: All files that there are.

        Raises:
            DataError: It is no such table, or lists an image that is not there, or twice.
        """
        rows = _rows(name, content)
        header = next(rows, [])
        if _are_numbers(header[1:]) and len(header) > 1:
            raise _refusal(name, "its first row is not a header", ", ".join(header)[:200])
        samples: dict[str, Sample] = {}
        for number, row in enumerate(rows, 2):
            sample = _sample(name, number, row, header, folders, names)
            if sample.image in samples:  # Here, so that a table has no more rows in memory than there are images.
                raise _refusal(name, "it lists an image twice", sample.image[:200])
            samples[sample.image] = sample
        if not samples:
            raise _refusal(name, "it lists no images", "a header alone" if header else "an empty file")
        return cls(tuple(header[1:]), tuple(samples.values()))


def has_targets(content: bytes) -> bool:
    """Tell whether a table has more columns than the one of images."""
    header = _first_line(content)
    return any(delimiter in header for delimiter in _DELIMITERS)


def _first_line(content: bytes) -> str:
    return content.partition(b"\n")[0].decode("utf-8-sig", "replace")


def _rows(name: str, content: bytes) -> Iterator[list[str]]:
    """Yield the rows that are not empty, without the spaces around their cells."""
    try:
        delimiter = max(_DELIMITERS, key=_first_line(content).count)
        text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
        for row in csv.reader(text, delimiter=delimiter, strict=True):
            if any(cell.strip() for cell in row):
                yield [cell.strip() for cell in row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refusal(name, "it cannot be read", str(error)[:200]) from None


def _sample(
    name: str, number: int, row: list[str], header: list[str], folders: tuple[str, ...], names: Collection[str]
) -> Sample:
    if len(row) != len(header):
        raise _refusal(name, f"row {number} does not have as many columns as the header", f"{len(row)} columns")
    image = next((folder + row[0] for folder in folders if folder + row[0] in names), None)
    if image is None:
        raise DataError(
            f"{name}, row {number}: the image does not exist.",
            field="dataset",
            received=row[0][:200],
            expected="a path relative to the table, with its suffix: .jpg, .jpeg or .png",
        )
    if not _are_numbers(row[1:]):
        wrong = next(column for column, cell in zip(header[1:], row[1:], strict=True) if not _are_numbers([cell]))
        raise DataError(
            f"{name}, row {number}: {wrong} is not a finite number.",
            field="dataset",
            received=row[header.index(wrong, 1)][:200] or "an empty cell",
            expected="a number in each column except the first",
            hint="For class names, put the images into class folders: train/<class>/<image>.",
        )
    return Sample(image, tuple(float(cell) for cell in row[1:]) or None)


def _are_numbers(cells: list[str]) -> bool:
    try:
        return all(math.isfinite(float(cell)) for cell in cells)
    except ValueError:
        return False


def _refusal(name: str, detail: str, received: str) -> DataError:
    return DataError(
        f"{name} is not a table of images: {detail}.",
        field="dataset",
        received=received,
        expected="a CSV with a header such as image,age,height and one row for each image",
    )
