"""README's examples end no worse than what one would write by hand, with statistics that fit."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pruning import PruningSpec, apply_plan, make_plan, prune
from pruning.datasets.builtin import load_builtin
from pruning.pipeline import PruningResult
from pruning.recovery.statistics import refresh_statistics, trained_normalizations

EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "over HTTP": (
        {"criterion": "kmeans", "ratio": 0.25, "num_iterations": 2},
        {"epochs": 5, "fine_tuning_epochs": 2},
    ),
    "with the client": ({"criterion": "kmeans", "target_params": 0.36, "ratio": 0.25}, {}),
}
MARGIN, MARGIN_OF_STATISTICS = 0.02, 0.01  # Of accuracy.
BETTER_THAN_CHANCE = 0.6  # Of ten classes.
BATCH_SIZE, PEAK = 64, 0.003


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    digits = load_builtin("digits")
    names = ("x_train", "y_train", "x_val", "y_val")
    return {name: array for name in names for array in getattr(digits, name).values()}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained network that README begins with."""
    made = tmp_path_factory.mktemp("demo") / "model.keras"
    runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "demo_model.py"))["build"](made)
    return made


@pytest.fixture(scope="module", params=EXAMPLES)
def ended(
    request: pytest.FixtureRequest, path: Path, arrays: dict[str, np.ndarray]
) -> tuple[PruningResult, dict[str, Any]]:
    spec, training = EXAMPLES[request.param]
    data = (arrays["x_train"], arrays["y_train"]), (arrays["x_val"], arrays["y_val"])
    return prune(keras.models.load_model(path), spec, data, training=training, is_timed=False), training


def accuracy(model: keras.Model, arrays: dict[str, np.ndarray]) -> float:
    predicted = model.predict(arrays["x_val"], batch_size=256, verbose=0).argmax(axis=-1)
    return float((predicted == arrays["y_val"]).mean())


def trained(model: keras.Model, arrays: dict[str, np.ndarray], num_epochs: int) -> keras.Model:
    """Train by hand: Adam, one cosine over all epochs, and statistics that follow in so few steps."""
    if num_epochs:
        for norm in trained_normalizations(model):
            norm.momentum = 0.9
        num_steps = num_epochs * -(-len(arrays["x_train"]) // BATCH_SIZE)
        rate = keras.optimizers.schedules.CosineDecay(PEAK, num_steps)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        model.fit(arrays["x_train"], arrays["y_train"], batch_size=BATCH_SIZE, epochs=num_epochs, verbose=0)
    return model


def test_an_example_ends_no_worse_than_a_recipe_by_hand(
    ended: tuple[PruningResult, dict[str, Any]], path: Path, arrays: dict[str, np.ndarray]
) -> None:
    """Train, cut the channels of the smallest L1 norm, as large a share of each layer, train again, as long."""
    result, training = ended
    spent = sum(len(phase["loss"]) for name, phase in result.history.items() if name != "training")
    keras.utils.set_random_seed(0)
    model = trained(keras.models.load_model(path), arrays, training.get("epochs", 0))
    left = result.report.after.params / result.report.before.params
    small = apply_plan(model, make_plan(model, PruningSpec(criterion="l1_norm", target_params=min(left, 0.9999))))
    assert spent > 0
    assert small.count_params() <= result.report.after.params
    by_hand = accuracy(trained(small, arrays, spent), arrays)
    assert by_hand > BETTER_THAN_CHANCE, "the recipe would be no floor"
    assert accuracy(result.model, arrays) >= by_hand - MARGIN


def test_the_statistics_of_every_candidate_are_fresh(
    ended: tuple[PruningResult, dict[str, Any]], arrays: dict[str, np.ndarray]
) -> None:
    result, _ = ended
    models = [result.candidate(each.name)[0] for each in result.report.candidates]
    assert models
    for model in models:
        before = accuracy(model, arrays)
        batches = [arrays["x_train"][start : start + 128] for start in range(0, 1024, 128)]
        refresh_statistics(model, trained_normalizations(model), batches)
        assert accuracy(model, arrays) <= before + MARGIN_OF_STATISTICS
