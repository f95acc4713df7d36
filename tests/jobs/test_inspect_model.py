import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import UnsupportedModelFileError
from jobs.inspection import inspect_model
from pruning.errors import ModelError
from tests.uploads import HDF5, keras_file, keras_members, layer, model_config, zipped

pytestmark = pytest.mark.fast


@pytest.fixture
def inspect(tmp_path: Path) -> Callable[[bytes], Any]:
    def write_and_inspect(data: bytes) -> Any:
        path = tmp_path / "upload"
        path.write_bytes(data)
        return inspect_model(path)

    return write_and_inspect


def test_layers_are_paths_without_inputs_and_operations(inspect: Callable[[bytes], Any]) -> None:
    found = inspect(keras_file())
    assert found.format == "keras"
    assert found.layers == ("stem", "block/conv1", "block/conv2", "head")


def test_hdf5_is_known_by_its_magic_alone(inspect: Callable[[bytes], Any]) -> None:
    assert (inspect(HDF5).format, inspect(HDF5).layers) == ("h5", None)


@pytest.mark.parametrize("data", [b"", b"P", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_other_files_are_unsupported(inspect: Callable[[bytes], Any], data: bytes) -> None:
    with pytest.raises(UnsupportedModelFileError) as caught:
        inspect(data)
    assert caught.value.field == "file"
    assert caught.value.hint


@pytest.mark.parametrize("num_bytes", [5, 100, -1, -30])
def test_a_truncated_zip_is_refused(inspect: Callable[[bytes], Any], num_bytes: int) -> None:
    with pytest.raises(ModelError, match="damaged"):
        inspect(keras_file()[:num_bytes])


def test_a_flipped_byte_in_the_config_is_refused(inspect: Callable[[bytes], Any]) -> None:
    data = keras_file().replace(b'"stem"', b'"stxm"', 1)
    with pytest.raises(ModelError, match="damaged"):
        inspect(data)


CHANGES: dict[str, dict[str, bytes | None]] = {
    "a member more": {"assets/vocabulary.txt": b"word"},
    "no weights": {"model.weights.h5": None},
    "weights that are no HDF5": {"model.weights.h5": b"numbers"},
    "a config that is no JSON": {"config.json": b"{"},
    "a config with NaN": {"config.json": b'{"class_name": NaN}'},
    "a config that is a list": {"config.json": b"[]"},
    "a config nested without end": {"config.json": b"[" * 200_000},
    "a config over the limit": {"config.json": b" " * (4 * 1024**2 + 1)},
    "a config that is no UTF-8": {"config.json": b"\xff"},
    "metadata that is no JSON": {"metadata.json": b"version 3"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_zip_that_is_no_keras_file_is_refused(
    inspect: Callable[[bytes], Any], change: dict[str, bytes | None]
) -> None:
    members = {**keras_members(), **change}
    with pytest.raises(ModelError) as caught:
        inspect(zipped({name: data for name, data in members.items() if data is not None}))
    assert caught.value.code == "unusable-model"


CONFIGS: dict[str, Any] = {
    "a layer alone": layer("Dense", "dense"),
    "a subclassed model": {"class_name": "MyModel", "config": {"name": "mine"}},
    "no class": {"config": {"layers": []}},
    "no layers": {**model_config(), "config": {"name": "model", "layers": [layer("InputLayer", "input")]}},
    "a layer that is a text": {"class_name": "Sequential", "config": {"layers": ["dense"]}},
    "a layer without a name": {"class_name": "Sequential", "config": {"layers": [{"config": {}}]}},
    "a name that is no Unicode": {"class_name": "Sequential", "config": {"layers": [layer("Dense", "a\ud800")]}},
    "a name that is a number": {"class_name": "Sequential", "config": {"layers": [{"config": {"name": 3}}]}},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_a_config_that_is_no_model_is_refused(inspect: Callable[[bytes], Any], config: Any) -> None:
    with pytest.raises(ModelError):
        inspect(keras_file(config))


def test_models_nested_too_deep_are_refused(inspect: Callable[[bytes], Any]) -> None:
    model = model_config()
    for _ in range(30):
        model = {"class_name": "Sequential", "config": {"name": "outer", "layers": [model]}}
    with pytest.raises(ModelError, match="nested"):
        inspect(keras_file(model))


@pytest.mark.parametrize("name", ["../config.json", "/config.json", "a\\b", "C:/x", "a//b"])
def test_unsafe_member_names_are_refused(inspect: Callable[[bytes], Any], name: str) -> None:
    with pytest.raises(ModelError, match="unsafe name"):
        inspect(zipped({**keras_members(), name: b""}))


def test_overlapping_members_are_refused(inspect: Callable[[bytes], Any]) -> None:
    data = bytearray(zipped({"a": b"x" * 100, "b": b"x" * 100}))
    directory = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    struct.pack_into("<I", data, directory + 42, 10)
    with pytest.raises(ModelError, match="damaged"):
        inspect(bytes(data))


def test_a_member_twice_is_refused(inspect: Callable[[bytes], Any]) -> None:
    members = keras_members()
    data = zipped({**members, "config.jsom": json.dumps(model_config()).encode()})
    data = data.replace(b"config.jsom", b"config.json")
    with pytest.raises(ModelError, match="twice"):
        inspect(data)


def test_too_many_members_are_refused(inspect: Callable[[bytes], Any]) -> None:
    with pytest.raises(ModelError, match="too many"):
        inspect(zipped({f"file{number}": b"" for number in range(1000)}))
