"""What is done to a model right after a prune."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec, prune
from pruning.errors import DataError, SpecError
from pruning.graph.groups import ChannelGraph
from pruning.recovery.held_out import held_apart
from pruning.recovery.repair import output_error, repair
from pruning.report import Repair
from pruning.surgery.cutting import prune_channels
from tests.pruning.models import blobs, residual, same, values

SPEC = PruningSpec(ratio=0.5)


def cut(model: keras.Model) -> tuple[ChannelGraph, ChannelGraph, np.ndarray]:
    graph = ChannelGraph(model)
    stays = graph.stays({group.name: np.arange(group.num_channels // 2) for group in graph.groups})
    return graph, prune_channels(graph, stays), stays


def repaired(
    graph: ChannelGraph,
    small: ChannelGraph,
    stays: np.ndarray,
    error: Callable[[keras.Model], float],
    spec: PruningSpec = SPEC,
) -> Repair:
    images = blobs(128)[0]
    return repair(graph, small, stays, {"image": images}, error=error, batches=[images[:64], images[64:]], spec=spec)


@pytest.mark.parametrize("kind", ["cut", "statistics", "reconstruction"])
@pytest.mark.parametrize("others", [1.0, float("nan")])
def test_what_has_the_lowest_error_is_kept(kind: str, others: float) -> None:
    graph, small, stays = cut(residual())
    seen: dict[str, list[np.ndarray]] = {}

    def error(model: keras.Model) -> float:
        name = ("cut", "statistics", "reconstruction")[len(seen)]
        seen[name] = values(model)
        return 0.5 if name == kind else others

    result = repaired(graph, small, stays, error)
    assert result.kept == kind
    assert same(seen[kind], values(small.model))
    assert not same(seen["cut"], seen["statistics"])
    assert not same(seen["cut"], seen["reconstruction"])
    assert set(result.errors) == ({kind} if np.isnan(others) else set(seen))
    assert (result.num_layers > 0) == (kind == "reconstruction")


def test_the_original_stays_and_its_outputs_are_come_nearer_to() -> None:
    graph, small, stays = cut(residual())
    before, error = values(graph.model), output_error(graph, {"image": blobs(64, seed=5)[0]}, 32)
    as_cut = error(small.model)
    result = repaired(graph, small, stays, error)
    assert same(before, values(graph.model))
    assert error(graph.model) == pytest.approx(0, abs=1e-9)
    assert error(small.model) == pytest.approx(result.errors[result.kept])
    assert error(small.model) < 0.8 * as_cut


def test_without_reconstruction_only_statistics_are_tried() -> None:
    graph, small, stays = cut(residual())
    result = repaired(graph, small, stays, lambda model: 1.0, PruningSpec(ratio=0.5, reconstruction=False))
    assert set(result.errors) == {"cut", "statistics"}


@pytest.mark.parametrize("how", ["frozen", "not trainable"])
def test_frozen_layers_stay_as_they_were_cut(how: str) -> None:
    model = residual()
    model.get_layer("project").trainable = how != "not trainable"
    graph, small, stays = cut(model)
    before = [np.array(each) for each in small.model.get_layer("project").get_weights()]
    spec = PruningSpec(ratio=0.5, freeze=["project"] if how == "frozen" else [])
    errors = iter([3.0, 2.0, 1.0])
    assert repaired(graph, small, stays, lambda model: next(errors), spec).kept == "reconstruction"
    assert same(before, small.model.get_layer("project").get_weights())


def test_samples_that_judge_are_not_measured_on() -> None:
    measured, held_out = held_apart(500, seed=3)
    assert not set(measured) & set(held_out)
    assert len(measured) + len(held_out) == 500
    assert len(held_apart(2, seed=0)[0]) == len(held_apart(2, seed=0)[1]) == 1


def test_samples_without_targets_repair_a_sequential_model() -> None:
    stack = [layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    samples = np.random.default_rng(0).normal(size=(64, 8, 8, 1)).astype("float32")
    result = prune(model, PruningSpec(ratio=0.25), samples)
    (row,) = [step for step in result.report.steps if step.step == "pruning"]
    assert row.repair is not None
    assert row.repair.errors[row.repair.kept] == min(row.repair.errors.values())


def test_samples_without_targets_are_enough_to_repair_a_model() -> None:
    model, images = residual(), blobs(200)[0]
    result = prune(model, PruningSpec(criterion="l1_norm", ratio=0.5), {"x_train": images})
    (row,) = [step for step in result.report.steps if step.step == "pruning"]
    assert row.repair is not None
    assert row.metrics == {}
    assert row.repair.errors[row.repair.kept] == min(row.repair.errors.values()) < row.repair.errors["cut"]
    assert any("no targets" in note for note in result.report.notes)


@pytest.mark.parametrize(
    ("pruning", "training", "error"),
    [
        ({}, {"fine_tuning_epochs": 1}, DataError),
        ({}, {"epochs": 2}, DataError),
        ({"max_metric_drop": 0.1}, {}, SpecError),
    ],
)
def test_what_needs_targets_is_refused_without(
    pruning: dict[str, object], training: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        prune(residual(), {"ratio": 0.5, **pruning}, {"x_train": blobs(64)[0]}, training=training)


def test_a_prune_with_data_tells_of_its_repair() -> None:
    result = prune(residual(compiled=True), SPEC, blobs(200), training=TrainingSpec(fine_tuning_epochs=0))
    assert result.report.after.repair is not None
    assert set(result.report.after.repair.errors) == {"cut", "statistics", "reconstruction"}
    assert result.report.before.repair is None
