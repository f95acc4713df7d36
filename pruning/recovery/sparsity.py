"""What weights of channels that will be removed add to the loss, so that some channels become weak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from pruning.errors import SpecError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.keras_model.parts import variables_of
from pruning.keras_model.tensors import BackendTensor
from pruning.rules.records import WeightAxis
from pruning.spec import Sparsity

_STEEPNESS = 4.0
"""The weakest channel of a group counts `2 ** _STEEPNESS` times as much as the strongest, as in DepGraph."""


@dataclass(frozen=True)
class _Part:
    """The weights of a group's channels along one axis of a variable.

    Attributes:
        variable: The variable.
        axis: On which of its axes the channels lie.
        rows: Where, shape `(num_channels, n)`.
    """

    variable: keras.Variable
    axis: int
    rows: np.ndarray

    def channels_first(self) -> BackendTensor:
        """Return the weights, shape `(num_channels, features)`."""
        weights = ops.moveaxis(ops.convert_to_tensor(self.variable), self.axis, 0)
        weights = ops.take(ops.reshape(weights, (weights.shape[0], -1)), self.rows.reshape(-1), axis=0)
        return ops.reshape(weights, (len(self.rows), -1))


@dataclass(frozen=True)
class Penalty:
    """A term of the loss for the weights of a model.

    `batch_norm` is the sum of the absolute factors (gamma) of BatchNormalization over all channels of the groups.
    Source: Liu et al. 2017, Network Slimming, arXiv:1708.06519.

    `group_norm` is the sum over all channels of the groups of `2 ** (4 (M - I) / (M - m)) I / 2`: `I` is the sum of the
    squares of all weights that go with the channel, as for the criterion `coupled_norm`; `M` and `m` are the largest
    and smallest of the group. The power is taken for a constant. Source: Fang et al. 2023, DepGraph, arXiv:2301.12900.

    Weights that are not trained do not count, nor do biases and offsets.

    Attributes:
        sparsity: Which of them, and how strong.
        groups: For each group the weights of its channels.
    """

    sparsity: Sparsity
    groups: tuple[tuple[_Part, ...], ...]

    @classmethod
    def of(cls, graph: ChannelGraph, names: Sequence[str], sparsity: Sparsity) -> Penalty:
        """Collect weights of a model that is traced.

        Args:
            graph: The model.
            names: Groups of it; channels of no other group are touched.
            sparsity: What is asked.

        Raises:
            SpecError: These groups have no such weights.
        """
        counts = _COUNTS[sparsity.kind]
        found = [
            tuple(_part(graph, group, axis) for axis in graph.axes(group=group) if counts(axis) and _is_trained(axis))
            for group in graph.groups
            if group.name in set(names)
        ]
        groups = tuple(parts for parts in found if parts)
        if not groups:
            raise SpecError(
                "None of the channels that may be removed has weights that could become sparse.",
                field="training.sparsity.kind",
                received=sparsity.kind,
                expected="a trainable BatchNormalization with a factor (gamma) behind a layer that is pruned"
                if sparsity.kind == "batch_norm"
                else "a trainable layer that is pruned",
                hint="Try kind group_norm." if sparsity.kind == "batch_norm" else "Leave training.sparsity out.",
            )
        return cls(sparsity, groups)

    def value(self) -> BackendTensor | float:
        """Return the term, a scalar, differentiable by the variables."""
        return self.sparsity.strength * sum(_TERMS[self.sparsity.kind](parts) for parts in self.groups)


def _is_trained(axis: WeightAxis) -> bool:
    return bool(variables_of(axis.layer)[axis.variable_index].trainable)


def _part(graph: ChannelGraph, group: ChannelGroup, axis: WeightAxis) -> _Part:
    return _Part(variables_of(axis.layer)[axis.variable_index], axis.axis, graph.rows(axis, group))


def _absolute(parts: Sequence[_Part]) -> BackendTensor:
    return sum(ops.sum(ops.abs(part.channels_first())) for part in parts)


def _grouped(parts: Sequence[_Part]) -> BackendTensor:
    squares = sum(ops.sum(ops.square(part.channels_first()), axis=1) for part in parts)
    spread = ops.maximum(ops.max(squares) - ops.min(squares), keras.config.epsilon())
    counted = ops.power(2.0, _STEEPNESS * (ops.max(squares) - squares) / spread)
    return ops.sum(ops.stop_gradient(counted) * squares) / 2


_COUNTS: dict[str, Callable[[WeightAxis], bool]] = {
    "batch_norm": lambda axis: axis.role == "scale" and isinstance(axis.layer, layers.BatchNormalization),
    "group_norm": lambda axis: axis.role != "through",
}
"""Kind → whether weights along an axis count."""
_TERMS: dict[str, Callable[[Sequence[_Part]], BackendTensor]] = {"batch_norm": _absolute, "group_norm": _grouped}
"""Kind → what the weights of a group's channels add, before it is multiplied by the strength."""
