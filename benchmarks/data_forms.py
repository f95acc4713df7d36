"""Every form of data with every kind of target, in the library, the command and the service: is it right, or refused?

    python -m benchmarks.data_forms [--where NAME…] [--json FILE]

A cell prunes a small network by half and trains it for an epoch. It is right if the loss that is reported, of the model
before and after, is what plain Keras computes on the arrays that the data was made from.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import pruning
import ridurre
from benchmarks.apart import machine
from benchmarks.data_cases import KINDS, TOLERANCE, Arrays, Case

BATCH = 6
Write = Callable[[Case, Path], Path]
Run = Callable[[Case, Path], str | None]
"""Returns what is wrong, or `None`."""


# Forms of data


def _batches(part: tuple[np.ndarray, Any]) -> Iterator[tuple[Any, ...]]:
    x, y = part
    parts = (x,) if y is None else (x, y)
    for start in range(0, len(x), BATCH):
        yield keras.tree.map_structure(itemgetter(slice(start, start + BATCH)), parts)


class _PyDataset(keras.utils.PyDataset):
    def __init__(self, part: tuple[np.ndarray, Any]) -> None:
        super().__init__()
        self._all = list(_batches(part))

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._all[index]


def _tf_data(part: tuple[np.ndarray, Any]) -> Any:
    import tensorflow as tf

    x, y = part
    return tf.data.Dataset.from_tensor_slices((x,) if y is None else (x, y)).batch(BATCH)


LIBRARY: dict[str, Callable[[Case], Any]] = {
    "arrays": lambda case: case.train[0] if case.train[1] is None else (case.train, case.val),
    "dict of arrays": Case.flat,
    "tf.data": lambda case: (_tf_data(case.train), _tf_data(case.val)),
    "PyDataset": lambda case: (_PyDataset(case.train), _PyDataset(case.val)),
    "generator": lambda case: (_batches(case.train), _batches(case.val)),
}


def npz(case: Case, folder: Path) -> Path:
    """Write an `.npz`."""
    np.savez(folder / "data.npz", **case.flat())  # type: ignore[arg-type]  # NumPy's stub takes a flag for the arrays
    return folder / "data.npz"


def zip_of_images(case: Case, folder: Path) -> Path:
    """Write a zip of images, laid out as the kind of target asks.

    Raises:
        ValueError: Images cannot tell such targets.
    """
    if not case.kind.layout:
        raise ValueError("images cannot tell such targets")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for split, (x, y) in (("train", case.train), ("validation", case.val)):
            for name, content in _files(case.kind.layout, split, x, y):
                archive.writestr(name, content)
    return folder / "images.zip"


def folder_of_images(case: Case, folder: Path) -> Path:
    """Write a folder of images, laid out as the zip."""
    with zipfile.ZipFile(zip_of_images(case, folder)) as archive:
        archive.extractall(folder / "images")
    return folder / "images"


FILES: dict[str, Write] = {
    ".npz": npz,
    "zip of images": zip_of_images,
    "folder of images": folder_of_images,
}


def _files(layout: str, split: str, x: np.ndarray, y: Any) -> Iterator[tuple[str, bytes]]:
    if layout == "table":
        columns = _columns(y)
        rows = [",".join(map(repr, map(float, row))) for row in np.stack(list(columns.values()), 1)]
        lines = [",".join(["image", *columns]), *(f"{number:03}.png,{row}" for number, row in enumerate(rows))]
        yield f"{split}.csv", "\n".join(lines).encode()
    for number, image in enumerate(x):
        folder = {"classes": f"class {y[number] if layout == 'classes' else 0}/", "masks": "images/"}.get(layout, "")
        yield f"{split}/{folder}{number:03}.png", _png(image)
        if layout == "masks":
            yield f"{split}/masks/{number:03}.png", _png(y[number, ..., 0].astype(np.uint8))


def _columns(y: Any) -> Arrays:
    if isinstance(y, dict):
        return y
    return {f"y{number}": column for number, column in enumerate(y.reshape(len(y), -1).T)}


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


# Where


def in_library(give: Callable[[Case], Any], case: Case, folder: Path) -> str | None:
    """Prune with `pruning.prune`; return what is wrong, or `None`."""
    training = {} if case.kind.loss is None else {"fine_tuning_epochs": 1}
    result = pruning.prune(case.model, {"ratio": 0.5}, give(case), training=training)
    return case.problem(result.report.model_dump(mode="json"), result.model)


def with_command(write: Write, case: Case, folder: Path) -> str | None:
    """Prune with `ridurre prune --local`; return what is wrong, or `None`."""
    case.model.save(folder / "model.keras")
    out = folder / "small.keras"
    epochs = [] if case.kind.loss is None else ["--fine-tuning-epochs", "1"]
    command = [
        "prune",
        "model.keras",
        "--data",
        str(write(case, folder)),
        "--local",
        "--ratio",
        "0.5",
        "--out",
        str(out),
        *epochs,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "ridurre", *command], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    if done.returncode:
        raise ValueError(done.stderr.strip().removeprefix("Error: ") or done.stdout)
    if case.kind.loss is None:
        return None
    found = re.search(r"val loss\D+([\d.]+)\D+([\d.]+)", done.stdout)
    if found is None:
        return f"no loss in the table: {done.stdout[:300]}"
    for shown, model in zip(found.groups(), (case.model, keras.saving.load_model(out)), strict=True):
        loss = case.loss_of(model)
        if abs(float(shown) - loss) > TOLERANCE * max(1, loss):
            return f"val_loss {shown}, Keras {loss:.4f}"
    return None


def over_http(client: ridurre.Client, write: Write, case: Case, folder: Path) -> str | None:
    """Prune on a service; return what is wrong, or `None`."""
    case.model.save(folder / "model.keras")
    training = {} if case.kind.loss is None else {"fine_tuning_epochs": 1}
    pruned = client.prune(
        folder / "model.keras", write(case, folder), ratio=0.5, training=training, out=folder / "small.keras"
    )
    return case.problem(pruned.report, keras.saving.load_model(folder / "small.keras"))


@contextmanager
def service(folder: Path) -> Iterator[ridurre.Client]:
    """Start the embedded service, and stop it again."""
    command = [sys.executable, "-m", "ridurre", "serve", "--port", "0", "--data-directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.:]+", line)))
        try:
            yield ridurre.Client(url)
        finally:
            process.terminate()


def cells(wheres: list[str]) -> Iterator[tuple[str, str, str, Run]]:
    """Yield where, form, kind and what to do, for each cell."""
    for kind in KINDS:
        if "library" in wheres:
            yield from (("library", form, kind, partial(in_library, give)) for form, give in LIBRARY.items())
        if "command" in wheres:
            yield from (("command", form, kind, partial(with_command, write)) for form, write in FILES.items())
    if "HTTP" in wheres:
        with TemporaryDirectory() as served, service(Path(served)) as client:
            for kind in KINDS:
                for form in (".npz", "zip of images"):
                    yield "HTTP", form, kind, partial(over_http, client, FILES[form])


def outcome(run: Run, kind: str) -> str:
    """Return `right`, `WRONG: …` or `refused: …`."""
    with TemporaryDirectory() as folder:
        try:
            wrong = run(Case.of(KINDS[kind]), Path(folder))
        except (pruning.PruningError, ridurre.RidurreError, ValueError) as error:
            return f"refused: {str(error).splitlines()[0]}"
    return "right" if wrong is None else f"WRONG: {wrong}"


def main() -> None:
    """Fill all cells, print the table and write it; fail if one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--where", nargs="*", default=["library", "command", "HTTP"], metavar="NAME")
    parser.add_argument("--json", type=Path, default=Path("var/data-forms.json"))
    arguments = parser.parse_args()
    rows: list[dict[str, str | float]] = []
    table = Table("where", "form", "targets", "outcome")
    for where, form, kind, run in cells(arguments.where):
        started = time.monotonic()
        cell = (where, form, kind, outcome(run, kind))
        row = dict(zip(("where", "form", "targets", "outcome"), cell, strict=True))
        rows.append({**row, "seconds": round(time.monotonic() - started, 1)})
        table.add_row(*cell)
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    Console(width=160).print(table)
    counts = {word: sum(str(row["outcome"]).startswith(word) for row in rows) for word in ("right", "refused", "WRONG")}
    Console().print(f"{len(rows)} cells: {counts}")
    if counts["WRONG"]:
        raise SystemExit("some cells are wrong")


if __name__ == "__main__":
    main()
