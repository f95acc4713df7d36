"""What a rule sees and what it may say: labels, ties, fixed channels, weight axes and widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

Labels = np.ndarray
"""Integer array of channel labels, broadcastable to a tensor's shape without the batch axis.

A label names one unit of width that can be removed; label 0 is fixed. Axes along which labels do not
vary have size 1: the output of a convolution is `(1, 1, channels)`.
"""

Role = Literal["out", "in", "through", "scale"]
"""How a weight axis relates to its channels: it makes them, reads them, or treats them one by one; the last is
`"scale"` for the factor (gamma) by which a normalisation multiplies them, and `"through"` for all else."""

Shape = tuple[int | None, ...]


class LockedError(Exception):
    """Raised by a rule that cannot follow a layer's channels; the tracer locks them and keeps the reason."""


@dataclass(frozen=True)
class Tensor:
    """A traced tensor.

    Attributes:
        labels: See `Labels`; `labels.ndim == len(shape)`.
        shape: Shape without the batch axis; `None` where it is not known.
    """

    labels: Labels
    shape: Shape


@dataclass(frozen=True)
class WeightAxis:
    """The channels that lie along one axis of one variable.

    Attributes:
        layer: The Keras layer that owns the variable.
        variable_index: Position in `layer.variables`.
        axis: Axis of the variable, not negative.
        labels: Shape `(axis size,)`.
        role: See `Role`.
    """

    layer: Any
    variable_index: int
    axis: int
    labels: Labels
    role: Role


@dataclass(frozen=True)
class Width:
    """A number in a layer's config that counts channels: `filters`, `units`, one entry of `target_shape`."""

    layer: Any
    key: str
    index: int | None
    labels: Labels


@dataclass(frozen=True)
class Multiplications:
    """A variable each of whose entries is multiplied `positions` times for one sample."""

    layer: Any
    variable_index: int
    positions: int | None


@dataclass
class Records:
    """Everything that the rules said about one model."""

    ties: list[tuple[Labels, Labels, str]] = field(default_factory=list)
    fixed: list[tuple[Labels, str]] = field(default_factory=list)
    axes: dict[tuple[int, int, int], WeightAxis] = field(default_factory=dict)
    widths: dict[tuple[int, str, int | None], Width] = field(default_factory=dict)
    multiplications: list[Multiplications] = field(default_factory=list)
    spans: list[Labels] = field(default_factory=list)
    made: dict[tuple[int, str], Labels] = field(default_factory=dict)
    layers: dict[int, tuple[str, Any]] = field(default_factory=dict)
    locked: dict[str, str] = field(default_factory=dict)
    owners: dict[int, Any] = field(default_factory=dict)
    num_labels: int = 1

    def after(self, stays: np.ndarray, copies: Mapping[int, Any]) -> Records:
        """Return the records of the model that surgery made of this one.

        Tracing the new model instead could couple its channels in another way: a convolution with one channel left
        in each conv group looks like a depthwise one.

        Args:
            stays: Whether each label stays, shape `(num_labels,)`.
            copies: Id of each layer → its copy in the new model.
        """

        def left(labels: Labels) -> Labels:
            kept: Labels = np.compress(stays[labels], labels)
            return kept

        axes = [replace(axis, layer=copies[id(axis.layer)], labels=left(axis.labels)) for axis in self.axes.values()]
        widths = [
            replace(width, layer=copies[id(width.layer)], labels=left(width.labels)) for width in self.widths.values()
        ]
        return replace(
            self,
            axes={(id(axis.layer), axis.variable_index, axis.axis): axis for axis in axes},
            widths={(id(width.layer), width.key, width.index): width for width in widths},
            multiplications=[replace(used, layer=copies[id(used.layer)]) for used in self.multiplications],
            spans=[left(labels) for labels in self.spans],
            layers={id(copies[layer]): (path, copies[layer]) for layer, (path, _) in self.layers.items()},
        )


class Context:
    """The rules' side of tracing one call of one layer.

    Args:
        records: Where everything is written down.
        layer: The layer, or operation, that is called.
        path: Its path in the model, for reasons and plans.
        constants: Arguments of the call that are no tensors of the graph.
    """

    def __init__(self, records: Records, layer: Any, path: str, constants: Sequence[Any] = ()) -> None:
        self._records = records
        self._index_of = {id(variable): index for index, variable in enumerate(getattr(layer, "variables", ()))}
        self._spoken_of: set[int] = set()
        self.layer = layer
        self.path = path
        self.constants = constants

    def new(self, key: str, num_channels: int) -> Labels:
        """Return labels for channels that the layer makes; the same ones at each call of a shared layer."""
        made = self._records.made
        if (id(self.layer), key) not in made:
            start = self._records.num_labels
            self._records.num_labels += num_channels
            made[id(self.layer), key] = np.arange(start, start + num_channels)
        return made[id(self.layer), key]

    def made(self) -> list[Labels]:
        """Return all labels that the layer has made so far."""
        return [labels for (layer, _), labels in self._records.made.items() if layer == id(self.layer)]

    def tie(self, first: Labels, second: Labels) -> None:
        """Say that two labels live or die together, elementwise with broadcasting."""
        if first is not second:
            self._records.ties.append((first, second, self.path))

    def fix(self, labels: Labels, reason: str) -> None:
        """Say that channels must stay."""
        self._records.fixed.append((labels, reason))

    def lock(self, reason: str) -> None:
        """Say why the layer itself cannot be followed."""
        self._records.locked.setdefault(self.path, reason)

    def span(self, labels: Labels) -> None:
        """Say that a tensor holds just these channels, so that one of them has to stay."""
        self._records.spans.append(labels)

    def weight(self, variable: Any, axis: int, labels: Labels, role: Role) -> None:
        """Say which channels lie along an axis of a variable; `None` variables (no bias) are passed over."""
        if variable is None:
            return
        axis %= len(variable.shape)
        if len(labels) != variable.shape[axis]:
            raise LockedError(
                f"{variable.path} has size {variable.shape[axis]} on axis {axis} where its rule expects {len(labels)}"
            )
        index = self._index(variable)
        self._spoken_of.add(index)
        known = self._records.axes.setdefault(
            (id(self.layer), index, axis), WeightAxis(self.layer, index, axis, labels, role)
        )
        self.tie(known.labels, labels)

    def same_for_all_channels(self, variable: Any) -> None:
        """Say that no channels lie on any axis of a variable."""
        self._spoken_of.add(self._index(variable))

    def width(self, key: str, labels: Labels, index: int | None = None) -> None:
        """Say that `config[key]`, or entry `index` of it, counts these channels."""
        known = self._records.widths.setdefault((id(self.layer), key, index), Width(self.layer, key, index, labels))
        if len(known.labels) != len(labels):
            raise LockedError(f"{key} counts different channels at each call")
        self.tie(known.labels, labels)

    def multiply(self, variable: Any, spatial: Sequence[int | None]) -> None:
        """Count multiply-accumulates: each entry of the variable is used at every spatial position."""
        positions = None if None in spatial else int(np.prod([size for size in spatial if size], dtype=np.int64))
        self._records.multiplications.append(Multiplications(self.layer, self._index(variable), positions))

    def require_all_weights_known(self) -> None:
        """Check that the rule spoke of every weight of the layer.

        Raises:
            LockedError: It did not: the layer has weights that are not in its rule.
        """
        for weight in getattr(self.layer, "weights", ()):
            if self._index_of[id(weight)] not in self._spoken_of:
                raise LockedError(f"its rule does not know the weight {weight.path}")

    def _index(self, variable: Any) -> int:
        if id(variable) not in self._index_of:
            raise LockedError("its weights are quantised, adapted or not its own")
        return self._index_of[id(variable)]

    def along(self, tensor: Tensor, axis: int) -> Labels:
        """Return the labels along one axis, shape `(size,)`, after tying them over all other axes.

        Raises:
            LockedError: The size of the axis is not known.
        """
        size = tensor.shape[axis]
        if size is None:
            raise LockedError("the number of channels of its input is not known")
        rows = np.moveaxis(tensor.labels, axis, -1).reshape(-1, tensor.labels.shape[axis])
        if len(rows) > 1:
            self.tie(rows[:1], rows[1:])
        return np.broadcast_to(rows[0], (size,))


Rule = Callable[[Context, Any, list[Tensor], list[Shape]], list[Labels]]
"""`rule(context, layer, inputs, output_shapes)` returns the labels of each output."""


def spread(labels: Labels, axis: int, rank: int) -> Labels:
    """Lay labels of shape `(n,)` along one axis of a label array of the given rank."""
    shape = [1] * rank
    shape[axis] = len(labels)
    return labels.reshape(shape)


def channel_axis(layer: Any, rank: int) -> int:
    """Return the channel axis, without the batch axis, by the layer's data format."""
    return 0 if getattr(layer, "data_format", None) == "channels_first" else rank - 1


def spatial(shape: Shape, axis: int) -> list[int | None]:
    """Return the sizes of all axes but the channel axis."""
    return [size for index, size in enumerate(shape) if index != axis]


def single(inputs: list[Tensor]) -> Tensor:
    """Return the only input.

    Raises:
        LockedError: There are several, such as a mask that is a tensor of the graph.
    """
    if len(inputs) != 1:
        raise LockedError(f"called with {len(inputs)} tensors where its rule expects one")
    return inputs[0]
