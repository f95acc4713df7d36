"""What can take a shift of a layer's outputs: its bias, or the moving mean of the BatchNormalization behind it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from pruning.graph.groups import ChannelGraph
from pruning.graph.program import Program
from pruning.keras_model.graph import Node
from pruning.keras_model.weights import read_weights
from pruning.rules.normalization import axes_of
from pruning.scoring.group_weights import normalisations_behind
from pruning.scoring.linear import Linear


@dataclass(frozen=True)
class Offset:
    """A variable with one entry for each output.

    Attributes:
        variable: The variable.
        sign: 1 where it is added to the outputs, -1 where it is taken away.
    """

    variable: keras.Variable
    sign: int

    def add(self, shift: np.ndarray) -> None:
        """Shift the outputs by as many numbers as there are, in their order."""
        value = read_weights(self.variable)
        self.variable.assign((value + self.sign * shift.reshape(value.shape)).astype(value.dtype))


class Offsets:
    """The offsets of one model.

    Args:
        graph: The traced model.
    """

    def __init__(self, graph: ChannelGraph) -> None:
        self._calls = Counter(id(step.node.operation) for step in Program(graph.model).steps)
        self._behind = normalisations_behind(graph)

    def of(self, node: Node, linear: Linear) -> Offset | None:
        """Return what takes a shift of a kernel's outputs, or `None`.

        A BatchNormalization takes it if all that it normalises is what this layer makes.

        Args:
            node: Keras's record of a call of the layer.
            linear: The kernel.
        """
        if linear.bias is not None:
            return Offset(linear.bias, 1)
        layer, behind = node.operation, self._behind.get(id(node.operation))
        if behind is None or linear.layer is not layer or self._calls[id(behind)] != self._calls[id(layer)]:
            return None
        return Offset(behind.moving_mean, -1) if _lie_alike(node, linear, behind) else None


def _lie_alike(node: Node, linear: Linear, normalisation: layers.BatchNormalization) -> bool:
    """Tell whether a normalisation has one mean for each output, in the same order."""
    rank = len(node.outputs[0].shape) - 1
    return linear.made_along is not None and axes_of(normalisation.axis, rank) == [rank + linear.made_along]
