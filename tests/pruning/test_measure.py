"""What a model is measured by beside what is counted."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from pruning import PruningSpec, prune
from pruning.measure import file_size_bytes
from tests.pruning.models import blobs, residual


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
