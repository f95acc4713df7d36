"""What the rules say about one model: where channels lie, which live or die together, and what counts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import keras
import numpy as np

from pruning.keras_model.parts import VariableShape, variable_shapes

Labels = np.ndarray
"""Integer array of channel labels, broadcastable to a tensor's shape without the batch axis.

A label names one unit of width that can be removed; label 0 is fixed. Axes along which labels do not
vary have size 1: the output of a convolution is `(1, 1, channels)`.
"""

Role = Literal["out", "in", "through", "scale"]
"""How a weight axis relates to its channels: it makes them, reads them, or treats them one by one; the last is
`"scale"` for the factor (gamma) by which a normalisation multiplies them, and `"through"` for all else."""

Shape = tuple[int | None, ...]

Follow = Callable[[Any, list[np.ndarray]], object]


@dataclass(frozen=True)
class Tensor:
    """A traced tensor.

    Attributes:
        labels: See `Labels`; `labels.ndim == len(shape)`.
        shape: Shape without the batch axis; `None` where it is not known.
        origin: Where the same values were to be had before they were only rearranged, such as flattened.
    """

    labels: Labels
    shape: Shape
    origin: Place | None = None


@dataclass(frozen=True)
class Record:
    """What a rule says of a layer or operation; arrays in it are labels.

    Attributes:
        layer: The layer or operation.
    """

    layer: keras.Operation


@dataclass(frozen=True)
class Place(Record):
    """A tensor that goes into one call of a layer, and the channels along one of its axes.

    Attributes:
        layer: The layer, or operation, that is called.
        call: Number of the call of this layer, from 0.
        position: Position of the tensor among those that the layer is called with.
        axis: Axis of the tensor, without the batch axis.
        labels: Shape `(axis size,)`.
        origin: Where the same values were to be had before they were only rearranged; `None`: nowhere else.
    """

    call: int
    position: int
    axis: int
    labels: Labels
    origin: Place | None = None


@dataclass(frozen=True)
class WeightAxis(Record):
    """The channels that lie along one axis of one variable.

    Attributes:
        layer: The Keras layer that owns the variable.
        variable_index: Position in `variables_of(layer)`.
        axis: Axis of the variable, not negative.
        labels: Shape `(axis size,)`.
        role: See `Role`.
        inner: Whether the layer reads here what it made itself, as a recurrent kernel does.
    """

    variable_index: int
    axis: int
    labels: Labels
    role: Role
    inner: bool = False


@dataclass(frozen=True)
class Width(Record):
    """A number in a layer's config that counts channels: `filters`, `units`, one entry of `target_shape`."""

    key: str
    index: int | None
    labels: Labels


@dataclass(frozen=True)
class Follower(Record):
    """A value in a layer's config, or an argument of its calls, that has to follow the channels.

    Attributes:
        layer: The layer or operation.
        key: Key of its config; or position or name of the argument.
        parts: Vectors of labels that decide the value.
        value: `(value, stays) -> value`, from the value now and whether each label of each part stays.
    """

    key: str | int
    parts: tuple[Labels, ...]
    value: Follow


@dataclass(frozen=True)
class Read(Record):
    """An input of which a call looks at all channels at once: their mean, their maximum, their sum of products.

    Attributes:
        layer: The layer or operation.
        argument: Position of the input among the flattened arguments of the call.
        axis: Axis of the input, with the batch axis counted, along which the channels lie.
        rank: Number of the input's axes, with the batch axis counted.
        labels: Shape `(axis size,)`.
    """

    argument: int
    axis: int
    rank: int
    labels: Labels


@dataclass(frozen=True)
class Scale(Record):
    """A variable that is multiplied by `(channels left / channels) ** exponent`, so that the layer gives the same."""

    variable_index: int
    labels: Labels
    exponent: float

    def factor(self, stays: np.ndarray) -> float:
        """Return what the variable is multiplied by where these labels stay; `stays` has shape `(num_labels,)`."""
        return float(np.mean(stays[self.labels]) ** self.exponent)

    def scaled(self, value: np.ndarray, stays: np.ndarray) -> np.ndarray:
        """Return a value of the variable after that, rounded once, to its own type."""
        return (value.astype(np.float64) * self.factor(stays)).astype(value.dtype)


@dataclass(frozen=True)
class Multiplications(Record):
    """A variable each of whose entries is multiplied `positions` times for one sample."""

    variable_index: int
    positions: int | None


@dataclass
class Records:
    """Everything that the rules said about one model."""

    ties: list[tuple[Labels, Labels, str]] = field(default_factory=list)
    fixed: list[tuple[Labels, str]] = field(default_factory=list)
    axes: dict[tuple[int, int, int], WeightAxis] = field(default_factory=dict)
    widths: dict[tuple[int, str, int | None], Width] = field(default_factory=dict)
    settings: dict[tuple[int, str | int], Follower] = field(default_factory=dict)
    arguments: dict[tuple[int, str | int], Follower] = field(default_factory=dict)
    reads: dict[tuple[int, int], Read] = field(default_factory=dict)
    multiplications: list[Multiplications] = field(default_factory=list)
    scales: dict[tuple[int, int], Scale] = field(default_factory=dict)
    spans: list[Labels] = field(default_factory=list)
    made: dict[int, dict[str, Labels]] = field(default_factory=dict)
    layers: dict[int, tuple[str, keras.Operation]] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    calls: dict[int, int] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    looks: list[Place] = field(default_factory=list)
    locked: dict[str, str] = field(default_factory=dict)
    owners: dict[int, keras.Operation] = field(default_factory=dict)
    num_labels: int = 1
    _variables: dict[int, list[VariableShape]] = field(default_factory=dict, init=False)

    def counted(self, layer: keras.Operation) -> list[VariableShape]:
        """Return what is counted of a layer's own variables; Keras is asked once."""
        if id(layer) not in self._variables:
            self._variables[id(layer)] = variable_shapes(layer)
        return self._variables[id(layer)]

    def after(self, stays: np.ndarray, copies: Mapping[int, keras.Operation]) -> Records:
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

        def moved(value: object) -> Any:
            if isinstance(value, np.ndarray):
                return left(value)
            if isinstance(value, tuple) and all(isinstance(part, np.ndarray) for part in value):
                return tuple(map(left, value))
            if not isinstance(value, Record):
                return value
            changes = {each.name: moved(getattr(value, each.name)) for each in fields(value)}
            return replace(value, **{**changes, "layer": copies[id(value.layer)]})

        def table(value: object) -> Any:
            if isinstance(value, list):
                return [moved(each) for each in value]
            if isinstance(value, dict) and all(isinstance(each, Record) for each in value.values()):
                return {(id(copies[layer]), *rest): moved(each) for (layer, *rest), each in value.items()}
            return value

        tables = {each.name: table(getattr(self, each.name)) for each in fields(self) if each.init}
        layers = {id(copies[layer]): (path, copies[layer]) for layer, (path, _) in self.layers.items()}
        return replace(self, **{**tables, "layers": layers})
