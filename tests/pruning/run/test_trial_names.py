"""Which trials a run makes of what it is asked."""

from __future__ import annotations

import keras
from keras import layers

from pruning import prune


def test_a_size_out_of_reach_is_left_out_though_it_comes_last() -> None:
    inputs = keras.Input((4,))
    hidden = layers.Dense(8, activation="relu")(layers.Dense(8, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(3)(hidden))
    report = prune(model, {"sweep": {"sizes": [0.5, 0.01]}}, is_timed=False).report
    assert [each.trial for each in report.candidates] == ["0.5"]
    assert report.delivered == report.candidates[0].name
    assert any(note.startswith("0.01: ") for note in report.notes)
