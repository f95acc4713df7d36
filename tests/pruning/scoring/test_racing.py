"""The race for the oracle's places: the same channels, for fewer trials."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from keras import layers

from pruning import PruningSpec, prune
from pruning.criteria.base import Channels, Trials
from pruning.criteria.oracle_racing import OracleRacing
from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.graph import inputs_by_name, outputs_by_name
from pruning.proof.masking import Mask, run
from pruning.proof.random_inputs import random_inputs
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring
from pruning.scoring.removal import PartitionTrials
from pruning.spec import TrainingSpec
from tests.pruning.models import blobs, residual
from tests.pruning.scoring.test_removal import READ_TOGETHER, read_together
from tests.strategies import models


class Strict(OracleRacing):
    """Never certain, so that every channel runs on all samples."""

    error = 1e-200


class Table(Trials):
    """Trials whose results are known, and which count the pairs of a sample and a channel that are tried."""

    def __init__(self, table: np.ndarray) -> None:
        self.table, self.num_samples, self.pairs = table, len(table), 0
        self.seen: list[list[int]] = []

    def losses(self, channels: np.ndarray, samples: np.ndarray) -> np.ndarray:
        self.pairs += len(channels) * len(samples)
        self.seen.append(samples.tolist())
        found: np.ndarray = self.table[np.ix_(samples, channels)]
        return found


def channels(table: Table, guesses: np.ndarray, seed: int = 0) -> Channels:
    return Channels("group", table.table.shape[1], seed, list, _try_out=lambda: table, _guess=lambda: guesses)


def heavy_tailed(seed: int, num_channels: int = 24, num_samples: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Losses of which few samples have nearly all, and gradients that say roughly which; shapes (samples, channels)."""
    generator = np.random.default_rng(seed)
    scale = np.exp(1.5 * generator.normal(size=(num_samples, 1)))
    guesses = scale * (generator.normal(size=(num_samples, num_channels)) + generator.normal(size=num_channels))
    return scale + guesses + 0.5 * scale * generator.normal(size=guesses.shape), guesses


def best(table: np.ndarray, num_keep: int) -> list[int]:
    order: np.ndarray = np.argsort(-table.mean(axis=0), kind="stable")
    return sorted(order[:num_keep].tolist())


@pytest.mark.parametrize("num_keep", [1, 12, 23])
def test_hardly_ever_keeps_others_than_the_best_and_tries_far_less(num_keep: int) -> None:
    wrong = pairs = 0
    for seed in range(60):
        losses, guesses = heavy_tailed(seed)
        table = Table(losses)
        wrong += sorted(OracleRacing().select(channels(table, guesses, seed), num_keep)) != best(losses, num_keep)
        pairs += table.pairs
    assert wrong <= 60 * 0.1  # Twice the error that is allowed: the bound is no proof.
    assert pairs < 60 * losses.size / 2


def test_samples_that_are_drawn_sooner_count_no_more_than_others() -> None:
    """A small half of the samples, drawn first, says the contrary of the rest."""
    generator = np.random.default_rng(0)
    losses = generator.normal(scale=0.1, size=(4096, 8)) + np.arange(8)
    losses[:256] = generator.normal(scale=0.1, size=(256, 8)) - 3 * np.arange(8)
    guesses = np.where(np.arange(4096) < 256, 60.0, 1.0)[:, np.newaxis] * generator.normal(size=(4096, 8))
    table = Table(losses)
    assert OracleRacing().select(channels(table, guesses), 4).tolist() == best(losses, 4) == [4, 5, 6, 7]
    assert table.pairs < losses.size / 2


def test_without_any_guess_all_samples_are_drawn_alike() -> None:
    generator = np.random.default_rng(0)
    losses = generator.normal(size=(1000, 6)) + np.arange(6)
    table = Table(losses)
    assert OracleRacing().select(channels(table, np.zeros_like(losses)), 2).tolist() == [4, 5]
    assert table.pairs < losses.size / 2


def test_each_sample_is_tried_once_and_a_seed_says_when() -> None:
    losses, guesses = heavy_tailed(0, num_samples=200)
    seen = []
    for seed in (1, 1, 2):
        table = Table(losses)
        assert Strict().select(channels(table, guesses, seed), 12).tolist() == best(losses, 12)
        seen.append(np.concatenate(table.seen).tolist())
    assert seen[0] == seen[1] != seen[2]
    assert all(sorted(each) == list(range(200)) for each in seen)


def test_of_equal_channels_the_first_stay() -> None:
    table = Table(np.random.default_rng(0).normal(size=(300, 1)).repeat(5, axis=1))
    assert OracleRacing().select(channels(table, np.ones((300, 5))), 3).tolist() == [0, 1, 2]


def test_all_stay_without_a_trial() -> None:
    table = Table(np.zeros((300, 5)))
    assert OracleRacing().select(channels(table, np.zeros((300, 5))), 5).tolist() == [0, 1, 2, 3, 4]
    assert table.pairs == 0


def test_losses_that_are_no_numbers_are_refused() -> None:
    table = Table(np.full((300, 5), np.nan))
    with pytest.raises(CriterionError, match="The losses without channels of group 'group'"):
        OracleRacing().select(channels(table, np.zeros((300, 5))), 3)


def assert_keeps_the_oracles(graph: ChannelGraph, data: Any, criterion: Any, num_samples: int = 10_000) -> None:
    calibration = Calibration.of(graph.model, data, num_samples=num_samples, seed=0)
    exact, race = Scoring(graph, "oracle", 0, calibration), Scoring(graph, criterion, 0, calibration)
    for group in graph.groups:
        importance = exact.importance(group)
        tolerance = 1e-5 * max(1.0, float(np.abs(importance).max()))
        kept = race.keep(group, -(-group.num_channels // 2))
        gone = np.setdiff1d(np.arange(group.num_channels), kept)
        assert importance[kept].min() >= importance[gone].max(initial=-np.inf) - tolerance


@settings(
    max_examples=6, derandomize=True, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck), database=None,
)  # fmt: skip
@given(models())
def test_where_samples_run_out_random_networks_keep_the_oracles_channels(model: keras.Model) -> None:
    inputs = keras.tree.flatten(random_inputs(model, "positive", num_samples=9, seed=0))
    x = dict(zip(inputs_by_name(model), inputs, strict=True))
    outputs = run(model, Mask(), random_inputs(model, "positive", num_samples=9, seed=0))
    generator = np.random.default_rng(0)
    y = {
        name: generator.normal(size=output.shape).astype("float32")
        for name, output in zip(outputs_by_name(model), outputs, strict=True)
    }
    model.compile("sgd", "mean_squared_error")
    assert_keeps_the_oracles(ChannelGraph(model), (x, y), "oracle_racing")


@pytest.mark.parametrize("name", READ_TOGETHER)
def test_channels_that_are_read_together_or_inside_race_as_well(name: str) -> None:
    model, x, y = read_together(name)
    assert_keeps_the_oracles(ChannelGraph(model), (x, y), "oracle_racing")


def test_strict_and_in_many_batches_a_network_keeps_the_oracles_channels() -> None:
    assert_keeps_the_oracles(ChannelGraph(residual(compiled=True)), blobs(150), Strict)


def test_a_network_is_tried_less_than_by_the_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, tried = ChannelGraph(residual(compiled=True)), []
    losses = PartitionTrials.losses

    def counted(self: PartitionTrials, channels: np.ndarray, samples: np.ndarray) -> np.ndarray:
        tried.append(len(channels) * len(samples))
        return losses(self, channels, samples)

    monkeypatch.setattr(PartitionTrials, "losses", counted)
    pairs = {}
    for name in ("oracle", "oracle_racing"):
        calibration = Calibration.of(graph.model, blobs(512), num_samples=512, seed=0)
        tried.clear()
        kept = [Scoring(graph, name, 0, calibration).keep(group, 4).tolist() for group in graph.groups]
        pairs[name] = sum(tried), kept
    assert pairs["oracle_racing"][0] < pairs["oracle"][0] / 2
    assert pairs["oracle_racing"][1] == pairs["oracle"][1]


def test_no_shape_is_compiled_twice() -> None:
    model = residual(compiled=True)
    graph = ChannelGraph(model)
    calls: list[tuple[int, ...]] = []
    head = model.get_layer("head")
    call = head.call
    head.call = lambda inputs, **given: (calls.append(tuple(inputs.shape)), call(inputs, **given))[1]
    calibration = Calibration.of(model, blobs(300), num_samples=300, seed=0)
    group = graph.groups[0]
    trials = Scoring(graph, "oracle_racing", 0, calibration)._channels(group).trials
    calls.clear()
    for several, samples in (([0, 1, 2, 3, 4], range(64)), ([1, 4], range(70, 100)), ([3], range(64, 300))):
        assert trials.losses(np.array(several), np.array(samples)).shape == (len(samples), len(several))
    assert len(set(calls)) == 1


def test_in_a_whole_prune() -> None:
    told = []
    spec = PruningSpec(criterion="oracle_racing", ratio=0.25, calibration_samples=100)
    training = TrainingSpec(fine_tuning_epochs=0)
    result = prune(residual(compiled=True), spec, blobs(128), training=training, on_progress=told.append)
    assert result.report.steps[-1].max_relative_difference is not None
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)


def test_a_recurrent_layer_without_gradients_to_see_races_all_the_same() -> None:
    model = keras.Sequential([keras.Input((5, 2)), layers.LSTM(4), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(100, 5, 2)).astype("float32")
    assert_keeps_the_oracles(ChannelGraph(model), (x, np.arange(100) % 3), Strict)
