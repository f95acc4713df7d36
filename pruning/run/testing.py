"""The test set, on which nothing is decided: measured once, at the end."""

from __future__ import annotations

import keras

from pruning.report import TestMetrics
from pruning.run.models import Models
from pruning.run.setting import Setting


def tested(setting: Setting, models: Models, delivered: keras.Model) -> TestMetrics | None:
    """Return the figures of the original and the delivered model on the test set, or `None` if there is none.

    The original is copied for it, and the delivered model compiled.
    """
    recovery, data = setting.recovery, setting.data
    if recovery is None or data is None or not data.x_test:
        return None
    before, after = (recovery.evaluate_on_test(model) for model in (models.copy().model, delivered))
    return TestMetrics(before=before, after=after, num_samples=data.num_test)
