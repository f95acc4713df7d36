"""`pruning.prune` and `ridurre.prune`: by keyword the same arguments, and the same errors."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import pruning
import ridurre
from pruning.spec import Search

PRUNES = {"pruning": pruning.prune, "ridurre": ridurre.prune}
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = np.arange(32) % 2


@pytest.fixture
def model() -> keras.Model:
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))


def test_every_argument_of_the_one_is_one_of_the_other() -> None:
    of_pruning, of_ridurre = (inspect.signature(prune).parameters for prune in PRUNES.values())
    assert set(of_ridurre) - set(of_pruning) == {"out", "candidates_directory"}  # of files
    assert set(of_pruning) <= set(of_ridurre)


@pytest.mark.parametrize("prune", PRUNES.values(), ids=PRUNES)
@pytest.mark.parametrize(
    "asked",
    [
        {"ratio": 0.5},
        {"spec": {"ratio": 0.5}},
        {"spec": pruning.PruningSpec(ratio=0.5)},
        {"spec": {"ratio": 0.25, "criterion": "l1_norm"}, "ratio": 0.5},
        {"spec": pruning.PruningSpec(ratio=0.25), "ratio": 0.5},
        {
            "spec": pruning.PruningSpec(max_metric_drop=1.0, search=Search()),
            "ratio": 0.5,
            "search": None,
            "num_iterations": 1,
        },
    ],
    ids=["options", "dict", "spec", "dict and options", "spec and options", "None for a default"],
)
def test_one_call_does_for_both(prune: Any, asked: dict[str, Any], model: keras.Model) -> None:
    training = {"fine_tuning_epochs": 1}
    result = prune(model, data=(X, Y), training=training, is_timed=False, notes=("said before",), **asked)
    assert result.model.count_params() == 4 * 4 + 4 + 4 * 2 + 2
    assert "said before" in result.report.notes


@pytest.mark.parametrize("prune", PRUNES.values(), ids=PRUNES)
@pytest.mark.parametrize(
    ("asked", "error", "field"),
    [
        ({"ratio": 1.5}, pruning.SpecError, "pruning.ratio"),
        ({"ratoi": 0.5}, pruning.SpecError, "pruning.ratoi"),
        ({"ratio": 0.5, "training": {"learning_rate": float("inf")}}, pruning.SpecError, "training.learning_rate"),
        ({"ratio": 0.5, "min_channels": 8}, pruning.NothingToPruneError, "pruning"),
        ({"ratio": 0.5, "data": (X, Y + 1)}, pruning.DataError, "dataset.y_train"),
        ({"ratio": 0.5, "criterion": lambda weights: weights[:1]}, pruning.CriterionError, "pruning.criterion"),
        ({"spec": (X, Y)}, pruning.SpecError, "pruning"),
    ],
    ids=["value", "name", "training", "model", "data", "criterion", "no spec"],
)
def test_one_set_of_errors_does_for_both(
    prune: Any, asked: dict[str, Any], error: type[Exception], field: str, model: keras.Model
) -> None:
    with pytest.raises(error) as caught:
        prune(model, **asked)
    assert caught.value.field == field


def test_a_path_that_cannot_be_written_is_one_of_them(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(pruning.SpecError) as caught:
        ridurre.prune(model, ratio=0.5, out=tmp_path / "model.txt")
    assert isinstance(caught.value, ridurre.RidurreError)


def test_what_is_repaired_in_a_file_is_in_the_report(model: keras.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "model.h5")
    (tmp_path / "model.h5").rename(tmp_path / "model.keras")
    result = ridurre.prune(tmp_path / "model.keras", ratio=0.5, is_timed=False)
    assert "repaired: HDF5 content in a file named .keras is read as HDF5" in result.report.notes
