"""Weights of channels that will go become small, and no others."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec, prune
from pruning.datasets.data import Data
from pruning.errors import SpecError
from pruning.graph.groups import ChannelGraph
from pruning.recovery.fitting import Recovery
from pruning.recovery.objective import Aims
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.sparsity import Penalty
from pruning.scoring.group_weights import coupled, scales
from pruning.selection.bounds import shrinking
from pruning.spec import Sparsity
from pruning.training.compiling import Compiling
from tests.pruning.models import blobs, residual, same, values

SPEC = PruningSpec(ratio=0.5)


def trained(sparsity: Sparsity | None, names: tuple[str, ...], epochs: int = 1, **training: Any) -> keras.Model:
    model = residual()
    spec = TrainingSpec(epochs=1, sparsity=sparsity, batch_size=64, optimizer="sgd", learning_rate=0.1, **training)
    data = Data.of((blobs(64), blobs(16, seed=1))).fit_to(model)
    recovery = Recovery(spec, Compiling(model, spec, data), data)
    recovery.aims = Aims(sparse_groups=names)
    recovery.train(model, TrainingPhase("training", epochs, 0), lambda epoch, share, logs: None)
    return model


def test_the_penalty_is_that_by_hand() -> None:
    graph = ChannelGraph(residual())
    names = [group.name for group in graph.groups]
    gammas = sum(float(np.abs(scales(graph, group)).sum()) for group in graph.groups)
    penalty = Penalty.of(graph, names, Sparsity(kind="batch_norm", strength=0.5))
    assert float(penalty.value()) == pytest.approx(0.5 * gammas, rel=1e-5)
    expected = 0.0
    for group in graph.groups:
        squares = sum(np.sum(weights.astype("float64") ** 2, axis=1) for weights in coupled(graph, group))
        shares = (squares.max() - squares) / (squares.max() - squares.min())
        expected += float(np.sum(2 ** (4 * shares) * squares)) / 2
    penalty = Penalty.of(graph, names, Sparsity(kind="group_norm", strength=0.5))
    assert float(penalty.value()) == pytest.approx(0.5 * expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["batch_norm", "group_norm"])
def test_one_step_changes_weights_of_these_channels_only(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recovery, "settle", lambda self, model: False)
    graph = ChannelGraph(residual())
    (name,) = (group.name for group in graph.groups if "expand" in group.layers)
    plain, sparse = trained(None, ()), trained(Sparsity(kind=kind, strength=1e-2), (name,))
    theirs = {"expand_bn": [0], **({"expand": [0], "project": [0]} if kind == "group_norm" else {})}
    for layer in plain.layers:
        pairs = zip(layer.get_weights(), sparse.get_layer(layer.name).get_weights(), strict=True)
        for index, (without, pressed) in enumerate(pairs):
            if index in theirs.get(layer.name, []):
                assert np.sum(np.abs(pressed)) < np.sum(np.abs(without)) - 1e-4
            else:
                np.testing.assert_allclose(without, pressed, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("is_mixed", [False, True])
def test_groups_become_small_that_may_be_pruned(is_mixed: bool) -> None:
    spec = PruningSpec(ratio=0.5, exclude=["stem"])
    names = shrinking(ChannelGraph(residual()), spec)
    assert names == ("expand",)
    sizes = []
    for sparsity in (None, Sparsity(strength=0.2)):
        graph = ChannelGraph(trained(sparsity, names, 8, mixed_precision=is_mixed))
        sizes.append({group.name: [float(np.sum(part**2)) for part in coupled(graph, group)] for group in graph.groups})
    assert sum(sizes[1]["expand"]) < 0.7 * sum(sizes[0]["expand"])


def test_where_no_channel_will_go_nothing_changes() -> None:
    assert same(values(trained(None, (), 2)), values(trained(Sparsity(strength=1.0), (), 2)))


def test_only_the_first_phase_presses() -> None:
    wishes = ({}, {"sparsity": {"strength": 1e-2}})
    plain, sparse = (
        prune(residual(compiled=True), SPEC, blobs(64), training={"epochs": 1, "batch_size": 16, **wish})
        for wish in wishes
    )
    assert plain.history["training"]["loss"] != sparse.history["training"]["loss"]
    # The penalty is larger than any loss of later phases.
    assert sparse.history["fine-tuning 1"]["loss"][0] < sparse.history["training"]["loss"][0]


def test_frozen_weights_do_not_count() -> None:
    model = residual()
    model.get_layer("expand_bn").trainable = False
    graph = ChannelGraph(model)
    with pytest.raises(SpecError, match="could become sparse") as caught:
        Penalty.of(graph, ["expand"], Sparsity(kind="batch_norm"))
    assert caught.value.field == "training.sparsity.kind"


def test_a_network_without_normalization_is_told_of_the_other_kind() -> None:
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3)(inputs))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    training = {"epochs": 1, "sparsity": {"kind": "batch_norm"}}
    with pytest.raises(SpecError) as caught:
        prune(model, SPEC, blobs(64), training=training)
    assert caught.value.hint == "Try kind group_norm."


def test_sparsity_needs_epochs_and_data() -> None:
    with pytest.raises(SpecError) as caught:
        prune(residual(), SPEC, blobs(), training={"sparsity": {}})
    assert caught.value.field == "training.epochs"
    assert caught.value.hint
    with pytest.raises(SpecError) as caught:
        prune(residual(), SPEC, training={"epochs": 1, "sparsity": {}})
    assert caught.value.field == "training.sparsity"


def test_groups_that_keep_their_channels_do_not_shrink() -> None:
    graph = ChannelGraph(residual())
    every = {group.name for group in graph.groups}
    assert set(shrinking(graph, SPEC)) == every
    by_width = PruningSpec(ratio=0.5, ratios_by_width=[{"min_channels": 16, "ratio": 0}])
    assert "expand" not in shrinking(graph, by_width)
    assert set(shrinking(graph, PruningSpec(ratios={"expand": 0.5}))) == {"expand"}
