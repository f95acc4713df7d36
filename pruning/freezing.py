"""Layers that training leaves alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from pruning.graph.models import functional_graph


@contextmanager
def frozen(model: keras.Model, patterns: Sequence[str]) -> Iterator[None]:
    """Hold the layers that match one of the patterns untrainable, then give all flags back as they were.

    Args:
        model: Its flags change meanwhile; compile it inside.
        patterns: Regular expressions for whole layer paths.
    """
    matched = [layer for path, layer in _layers(model, "") if any(re.fullmatch(pattern, path) for pattern in patterns)]
    flags = [(each, each.trainable) for layer in matched for each in layer._flatten_layers()]
    # A layer's flag sets those of all its variables.
    flags += [(variable, variable.trainable) for layer in matched for variable in layer.variables]
    for layer in matched:
        layer.trainable = False
    try:
        yield
    finally:
        for flagged, trainable in flags:
            flagged.trainable = trainable


def _layers(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        if functional_graph(layer) is None:
            yield prefix + layer.name, layer
        else:
            yield from _layers(layer, f"{prefix}{layer.name}/")
