"""A model file as it lies on disk: HDF5 or zip, its config, and a repaired copy of it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from pruning.errors import ModelError
from pruning.model_layout import CONFIG, METADATA, WEIGHTS
from pruning.zip_layout import claims_too_much

_COMPILING = "compile_config"
_MAX_JSON_BYTES = 1 << 26


@dataclass(frozen=True)
class ModelFile:
    """What a file says of its model.

    Attributes:
        path: Where it is; its suffix tells its format.
        config: Class name and config of the model, and under `compile_config` how it is compiled, if it is.
        keras_version: What wrote it, `""` where the file does not say.
    """

    path: Path
    config: dict[str, Any]
    keras_version: str

    @classmethod
    def read(cls, path: Path) -> ModelFile:
        """Read a `.keras` or `.h5` file.

        Raises:
            ModelError: It holds no model, more than one, or a pickle.
            OSError, ValueError: It is damaged.
        """
        return cls(path, *(_read_hdf5(path) if path.suffix == ".h5" else _read_zip(path)))

    @property
    def from_keras_2(self) -> bool:
        """Whether a Keras before 3 wrote it: the oldest files name no version."""
        return not self.keras_version or int(self.keras_version.split(".")[0]) < 3

    def write(self, config: dict[str, Any], directory: Path) -> Path:
        """Write a copy of the file with another config."""
        copy = directory / f"repaired{self.path.suffix}"
        if self.path.suffix == ".h5":
            shutil.copyfile(self.path, copy)
            with h5py.File(copy, "r+") as file:
                file.attrs["model_config"] = json.dumps({**config, _COMPILING: None}).encode()
            return copy
        return _copy_zip(self.path, copy, {CONFIG: json.dumps(config).encode()})

    def with_weights(self, change: Callable[[Path], bool], directory: Path) -> Path | None:
        """Write a copy of a zip with its weights file changed, or return `None` where nothing was to change."""
        if self.path.suffix == ".h5":
            return None
        weights = directory / WEIGHTS
        with zipfile.ZipFile(self.path) as archive:
            if WEIGHTS not in archive.namelist():
                return None
            with archive.open(WEIGHTS) as source, weights.open("wb") as target:
                shutil.copyfileobj(source, target)
        if not change(weights):
            return None
        return _copy_zip(self.path, directory / "moved.keras", {WEIGHTS: weights})


def _read_hdf5(path: Path) -> tuple[dict[str, Any], str]:
    with h5py.File(path, "r") as file:
        config, version, compiling = (
            file.attrs.get(name) for name in ("model_config", "keras_version", "training_config")
        )
        if config is None:
            raise ModelError(
                "The file contains only weights.",
                field="model",
                received="an HDF5 file without a model",
                expected="a complete model with architecture and weights",
                hint="Build the model, load these weights, and save it with model.save('model.keras').",
            )
    return {**json.loads(config), **({} if compiling is None else {_COMPILING: json.loads(compiling)})}, _text(version)


def _read_zip(path: Path) -> tuple[dict[str, Any], str]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        _check_members(archive, names)
        if CONFIG not in names:
            raise _no_model(f"a zip without {CONFIG}", "Save the model with model.save('model.keras').")
        config = json.loads(_read_json(archive, CONFIG))
        metadata = json.loads(_read_json(archive, METADATA)) if METADATA in names else {}
    return config, _text(metadata.get("keras_version"))


def _check_members(archive: zipfile.ZipFile, names: list[str]) -> None:
    if any(name.endswith("data.pkl") for name in names):
        raise _no_model(
            "a PyTorch checkpoint", "Convert the network to Keras 3 and save it with model.save('model.keras')."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _no_model(
            f"a zip with more than one {twice[0]!r}", "Save the model again with model.save('model.keras')."
        )
    for info in archive.infolist():
        if claims_too_much(info):
            raise _no_model(f"a zip whose {info.filename!r} has an invalid length", "Save the model again.")
        with archive.open(info) as member:
            if info.filename.startswith("model.weights") and member.read(1) == b"\x80":
                raise _no_model(
                    f"a pickle as {info.filename!r}",
                    "Save the model again with Keras 3. Pickles can run code and are rejected.",
                )


def _no_model(received: str, hint: str) -> ModelError:
    return ModelError(
        "The file is not a Keras model.",
        field="model",
        received=received,
        expected="a .keras archive or an HDF5 file",
        hint=hint,
    )


def _read_json(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MAX_JSON_BYTES:
        raise ValueError(f"{name} is longer than {_MAX_JSON_BYTES} bytes")
    return archive.read(name)


def _copy_zip(source: Path, target: Path, changed: dict[str, bytes | Path]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changed.get(name)
            if isinstance(content, Path):
                new.write(content, name)
            elif content is not None:
                new.writestr(name, content)
            else:
                with old.open(name) as member, new.open(name, "w", force_zip64=True) as copy:
                    shutil.copyfileobj(member, copy)
    return target


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
