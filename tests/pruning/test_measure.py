"""How much of a model pruning can reach, and why not the rest."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from pruning import PruningSpec, prune
from pruning.graph.groups import ChannelGraph
from pruning.measure import file_size_bytes, reach
from tests.pruning.models import blobs, residual


def test_a_kernel_counts_if_it_reads_or_makes_channels_that_can_go() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Conv2D(2, 1, name="head")])
    result = reach(ChannelGraph(model))
    assert (result.num_params, result.num_prunable, result.share) == (3 * 3 * 3 * 4 + 4 * 2, 3 * 3 * 3 * 4 + 4 * 2, 1.0)
    assert result.reasons == {}


def test_the_rest_is_named_with_its_reason() -> None:
    inputs = keras.Input((8, 8, 3))
    hidden = layers.Lambda(lambda x: x)(layers.Dense(4, name="wide")(inputs))
    result = reach(ChannelGraph(keras.Model(inputs, layers.Dense(2, name="head")(hidden))))
    assert (result.num_prunable, result.share) == (0, 0.0)
    assert list(result.reasons) == ["wide", "head"]
    assert "no rule for" in result.reasons["wide"]


def test_a_wrapped_kernel_counts_once_as_its_own_layers() -> None:
    wrapped = layers.TimeDistributed(layers.Dense(4, name="inner"))
    model = keras.Sequential([keras.Input((5, 3)), wrapped, layers.Dense(2, name="head")])
    result = reach(ChannelGraph(model))
    assert (result.num_params, result.share, result.reasons) == (3 * 4 + 4 * 2, 1.0, {})


def test_the_size_of_a_file_does_not_depend_on_the_state_of_the_optimizer(tmp_path: Path) -> None:
    model = residual(compiled=True)
    model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy")
    model.save(tmp_path / "untrained.keras")
    untrained = (tmp_path / "untrained.keras").stat().st_size
    assert file_size_bytes(model) == file_size_bytes(model, optimizer=True) == untrained
    model.fit(*blobs(), verbose=0)
    optimizer, moments = model.optimizer, [np.array(variable) for variable in model.optimizer.variables]
    assert file_size_bytes(model) == untrained
    assert file_size_bytes(model, optimizer=True) > untrained + sum(each.nbytes for each in moments[2:])
    assert model.optimizer is optimizer
    assert all(map(np.array_equal, moments, model.optimizer.variables))
    model.fit(*blobs(), verbose=0)


def test_a_loaded_model_delivers_no_state_that_it_never_had(tmp_path: Path) -> None:
    residual(compiled=True).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.optimizer.build(loaded.trainable_variables)
    result = prune(loaded, PruningSpec(ratio=0.5))
    assert not result.model.optimizer.built
    assert file_size_bytes(result.model, optimizer=True) == result.report.after.file_bytes
