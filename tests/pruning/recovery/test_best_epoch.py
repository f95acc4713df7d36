"""What a phase that ends before its last epoch leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from pruning import PruningSpec, TrainingSpec
from pruning.datasets.data import Data
from pruning.recovery.early_stopping import patience
from pruning.recovery.fitting import Recovery
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.training_state import TrainingSnapshot
from pruning.selection.drop import WatchedMetric
from pruning.training.compiling import Compiling
from tests.pruning.models import blobs, residual, same, values


@pytest.mark.parametrize("is_watched", [False, True])
def test_a_training_that_only_harms_ends_early_and_leaves_its_best_behind(is_watched: bool) -> None:
    """Labels of the training set are wrong, those of the validation set are those that the model gives."""
    model = residual(compiled=True)
    images = blobs(64, seed=1)[0]
    labels = np.argmax(model.predict(images, verbose=0), axis=1)
    training = TrainingSpec(batch_size=32, learning_rate=0.05, learning_rate_schedule="constant", warmup_fraction=0)
    data = Data.of(((images, (labels + 1) % 4), (images, labels))).fit_to(model)
    compiling = Compiling(model, training, data)
    recovery = Recovery(training, compiling, compiling.fit_targets(data))
    watched = WatchedMetric(PruningSpec(ratio=0.5), recovery.evaluate(model)) if is_watched else None
    snapshots: list[TrainingSnapshot] = []
    before = values(model)
    phase = TrainingPhase("fine-tuning", 8, 0, watched=watched)
    state = recovery.train(model, phase, lambda *_: None, on_checkpoint=snapshots.append)
    assert state.epochs == len(snapshots) == (4 + patience(8) if is_watched else 8)
    assert state.is_over == is_watched
    if is_watched:
        assert state.best_epoch == 0
        assert same(before, snapshots[-1].best)
        assert recovery.evaluate(model)["val_accuracy"] >= 0.9
    else:
        assert recovery.evaluate(model)["val_accuracy"] < 0.5
