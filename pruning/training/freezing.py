"""Layers that training leaves alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from pruning.keras_model.graph import functional_graph
from pruning.keras_model.parts import layers_inside, parts_of
from pruning.patterns import matches_any


@contextmanager
def frozen(model: keras.Model, patterns: Sequence[str]) -> Iterator[None]:
    """Hold the layers that match one of the patterns untrainable, then give all flags back as they were.

    Args:
        model: Its flags change meanwhile; compile it inside.
        patterns: Regular expressions for whole layer paths.
    """
    matched = [layer for path, layer in _layers(model.layers, "") if matches_any(patterns, [path])]
    flags = [(each, each.trainable) for layer in matched for each in [layer, *layers_inside(layer)]]
    # A layer's flag sets those of all its variables.
    flags += [(variable, variable.trainable) for layer in matched for variable in layer.variables]
    for layer in matched:
        layer.trainable = False
    try:
        yield
    finally:
        for flagged, trainable in flags:
            flagged.trainable = trainable


def _layers(layers: Sequence[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for layer in layers:
        path = prefix + layer.name
        if functional_graph(layer) is None:
            yield path, layer
            yield from _layers(parts_of(layer), f"{path}/")
        else:
            yield from _layers(layer.layers, f"{path}/")
