"""What a model is trained and measured on."""

from __future__ import annotations

import numpy as np

from pruning import TrainingSpec
from pruning.recovery.fitting import Recovery
from pruning.training.compiling import Compiling
from pruning.training.data import Data
from tests.pruning.models import blobs, residual


def test_only_training_batches_are_augmented_and_shuffled() -> None:
    model = residual(compiled=True)
    training = TrainingSpec.model_validate({"augmentation": {"horizontal_flip": True, "crop": 2}})
    data = Data.of((blobs(64), blobs(32, seed=1))).fit_to(model)
    recovery = Recovery(training, Compiling(model, training, data), data)
    images, labels = recovery._validation_batches(model)[0]
    assert np.array_equal(images, blobs(32, seed=1)[0])
    assert np.array_equal(labels, blobs(32, seed=1)[1])
    images, _ = recovery._training_batches(model, 0)[0]
    assert sorted(images.sum(axis=(1, 2, 3))) != sorted(blobs(64)[0].sum(axis=(1, 2, 3)))
