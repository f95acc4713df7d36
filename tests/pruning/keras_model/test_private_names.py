"""When the ceiling of Keras is raised, these tests name what of it is gone."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]
ROOM = ROOT / "pruning" / "keras_model"


def names() -> set[str]:
    """Return the private names that the room uses, as attributes or as text, but for those of its own classes."""
    found: set[str] = set()
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                found.add(node.attr)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return {name for name in found if re.fullmatch(r"_[a-z]\w*", name)}


@pytest.fixture(scope="module")
def holders() -> list[Any]:
    """Return one of each kind of object whose private names are used."""
    inputs = keras.Input((4, 8))
    attention = layers.MultiHeadAttention(2, 4, use_gate=True)
    functional = keras.Model(inputs, layers.Dense(1)(attention(inputs, inputs)))
    sequential = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    optimizer = keras.optimizers.AdamW(use_ema=True)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    sequential.compile(optimizer, "mse", metrics=["mae"])
    sequential.fit(np.zeros((2, 3)), np.zeros((2, 2)), verbose=0)
    einsum = layers.EinsumDense("ab,bc->ac", output_shape=2)
    einsum.build((None, 3))
    return [functional, sequential, optimizer, attention, einsum, inputs, sequential.weights[0]]


def test_each_private_name_is_known(holders: list[Any]) -> None:
    missing = sorted(name for name in names() if not any(hasattr(holder, name) for holder in holders))
    assert not missing, f"Keras {keras.__version__} has no {', '.join(missing)}; see who uses them in {ROOM}"


def test_the_names_are_found_at_all() -> None:
    assert {"_inputs_struct", "_flatten_layers", "_compile_config", "_learning_rate"} <= names()


def test_nothing_newer_than_what_is_tested_is_installed_beside_this() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    keras_itself = next(Requirement(line) for line in project["dependencies"] if Requirement(line).name == "keras")
    installed = Version(metadata.version("keras"))
    following = f"{installed.major}.{installed.minor + 1}.0"
    assert installed in keras_itself.specifier
    assert following not in keras_itself.specifier, f"Raise the ceiling of Keras when this file passes with {following}"
