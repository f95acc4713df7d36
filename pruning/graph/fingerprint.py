"""What tells a traced architecture from others."""

from __future__ import annotations

import hashlib
import json

from pruning.graph.groups import ChannelGraph


def fingerprint(graph: ChannelGraph) -> str:
    """Return the sha256 over layers, weight shapes and channel groups."""
    layers = [
        [path, type(layer).__name__, [known.shape for known in graph.records.counted(layer) if known.is_weight]]
        for path, layer in graph.records.layers.values()
    ]
    groups = [[group.name, list(group.layers), group.num_channels] for group in graph.groups]
    return hashlib.sha256(json.dumps([layers, groups]).encode()).hexdigest()
