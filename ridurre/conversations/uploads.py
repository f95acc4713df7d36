"""Uploads of models and datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ridurre.answers import json_of, parse
from ridurre.errors import RidurreError
from ridurre.objects import Uploaded
from ridurre.steps import Call, Flow

Collection = Literal["models", "datasets"]


def upload_model(path: str | Path) -> Flow[Uploaded]:
    """Send a `.keras` or `.h5` file; the same bytes sent twice are one model."""
    return _upload("models", Path(path))


def upload_dataset(path: str | Path) -> Flow[Uploaded]:
    """Send an `.npz` file or a zip of images; the same bytes sent twice are one dataset."""
    return _upload("datasets", Path(path))


def dataset(data: str | Path | None) -> Flow[Uploaded | str | None]:
    """Return what `submit` takes: a file is uploaded; an id, a built-in dataset's name and `None` are kept."""
    if data is None:
        return None
    if isinstance(data, str) and not Path(data).exists() and Path(data).suffix == "":
        return data
    return (yield from upload_dataset(data))


def require_file(collection: Collection, path: Path) -> None:
    """Do nothing if there is a file to send.

    Raises:
        RidurreError: There is none.
    """
    if not path.is_file():
        raise RidurreError(
            f"The file {path} does not exist.", field=collection.removesuffix("s"), expected="a readable file"
        )


def _upload(collection: Collection, path: Path) -> Flow[Uploaded]:
    require_file(collection, path)
    response = yield Call("POST", f"/v1/{collection}", params={"filename": path.name}, file=path)
    return parse(Uploaded, json_of(response))
