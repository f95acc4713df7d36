"""How much of a model pruning can reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pruning.graph.groups import ChannelGraph


@dataclass(frozen=True)
class Reach:
    """How much of a model pruning can reach.

    Attributes:
        num_params: Scalars in all kernels, the weights of at least two axes.
        num_prunable: Scalars in those kernels that lose some of them when a channel of some group goes.
        reasons: Path of each layer with a kernel that pruning cannot reach → why.
    """

    num_params: int
    num_prunable: int
    reasons: dict[str, str]

    @property
    def share(self) -> float:
        """Prunable share of the parameters, 1 for a model without kernels."""
        return self.num_prunable / self.num_params if self.num_params else 1.0


def reach(graph: ChannelGraph) -> Reach:
    """Measure how much of a model's convolution, dense and similar kernels lies in prunable groups."""
    reasons = {}
    num_params = num_prunable = 0
    for path, layer in graph.records.layers.values():
        within = {axis.variable_index for axis in graph.axes_of(layer) if graph.can_shrink(axis)}
        for index, variable in enumerate(graph.records.counted(layer)):
            if not variable.is_weight or len(variable.shape) < 2:
                continue
            size = math.prod(variable.shape)
            num_params += size
            num_prunable += size if index in within else 0
            if index not in within:
                reasons[path] = graph.locked.get(path, "all that it reads and makes must stay")
    return Reach(num_params, num_prunable, reasons)
