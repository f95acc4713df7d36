"""Files that no repair brings to Keras 3 are refused with their true cause."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from pruning.errors import ModelError
from pruning.load import load
from pruning.load.refusals import REFUSALS
from tests.pruning.models import residual


def written_as_h5(path: Path, *entries: dict[str, Any]) -> Path:
    """A file of a Sequential with such layers, without weights: refused before they are looked for."""
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": list(entries)}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = b"2.4.0"
    return path


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": "it", **config}}


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: sorted(row.classes)[0])
def test_every_class_and_argument_of_the_table_is_refused(row: Any, tmp_path: Path) -> None:
    culprits = [layer(name) for name in row.classes] + [layer("Dense", **{name: 1}) for name in row.arguments]
    for culprit in culprits:
        path = written_as_h5(tmp_path / "model.h5", layer("Dense", units=2), culprit)
        with pytest.raises(ModelError) as caught:
            load(path)
        assert row.message in str(caught.value)
        assert "it" in str(caught.value.received)
        assert caught.value.hint == row.hint


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_is_never_run(suffix: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), layers.Lambda(lambda x: x + 1, name="plus_one"), layers.Dense(1)])
    model.save(tmp_path / f"model{suffix}")
    with pytest.raises(ModelError, match="Lambda layer") as caught:
        load(tmp_path / f"model{suffix}")
    assert "plus_one" in str(caught.value.received)


def test_a_lambda_deep_inside_is_found(tmp_path: Path) -> None:
    inner = layer("TimeDistributed", layer=layer("Lambda"))
    path = written_as_h5(tmp_path / "model.h5", {"class_name": "Sequential", "config": [inner]})
    with pytest.raises(ModelError, match="Lambda layer"):
        load(path)


def test_a_subclassed_model(tmp_path: Path) -> None:
    class Net(keras.Model):
        def call(self, inputs):  # type: ignore[no-untyped-def]
            return inputs

    net = Net()
    net(np.zeros((1, 2)))
    net.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="custom class or function") as caught:
        load(tmp_path / "model.keras")
    assert "Net" in str(caught.value.received)


def archive(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def test_a_zip_of_pytorch(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.h5", ("archive/data.pkl", pickle.dumps({})), ("archive/version", b"3"))
    with pytest.raises(ModelError, match="PyTorch"):
        load(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("change", ["twice", "pickle", "no config"])
def test_a_zip_that_is_not_what_keras_writes(change: str, tmp_path: Path) -> None:
    residual().save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    weights = "model.weights.h5"
    changed = {
        "twice": [*members.items(), (weights, members[weights])],
        "pickle": [*members.items(), ("model.weights.npz", pickle.dumps([1]))],
        "no config": [(weights, members[weights])],
    }[change]
    path = archive(tmp_path / "model.keras", *changed)
    expected = {"twice": "more than one", "pickle": "a pickle", "no config": r"without config\.json"}[change]
    with pytest.raises(ModelError, match=expected):
        load(path)


@pytest.mark.parametrize("config", [b"{", b"[]", b'{"class_name": "Sequential"}', b'{"a":' * 100_000])
def test_a_config_that_is_none(config: bytes, tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras", ("config.json", config), ("metadata.json", b"{}"))
    with pytest.raises(ModelError, match="cannot load"):
        load(path)
