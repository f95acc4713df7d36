"""What a model costs, as a function of its groups' widths alone: no model is built, no mask is drawn up."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import cached_property

import keras
import numpy as np

from pruning.graph.groups import ChannelGraph
from pruning.keras_model.parts import variables_of
from pruning.rules.records import Labels

Term = tuple[tuple[int, ...], int]
"""A variable: numbers of its labelled axes, alike ones having one number, and the product of its other axes."""


class Costs:
    """Parameters, multiply-accumulates and weight bytes of one model, counted from labels.

    The size of a labelled weight axis is the sum, over the groups that lie on it, of their widths times how
    often each channel lies there; a variable is a product of such sizes. All variables whose axes are alike
    make one term, so that counting is a small matrix product and a sum, for many width vectors at once.

    Args:
        graph: The traced model.

    Attributes:
        widths: Channels of each group now, in the order of `graph.groups`, shape `(num_groups,)`.
    """

    def __init__(self, graph: ChannelGraph) -> None:
        self.widths = graph.widths
        self._graph = graph

    @property
    def uncounted(self) -> str | None:
        """Path of a layer whose multiply-accumulates cannot be counted, or `None`."""
        unknown = (path for path, positions, _ in self._tables.products if positions is None)
        return next(unknown, None)

    @cached_property
    def _tables(self) -> _Tables:
        return _Tables(self._graph)

    def params(self, widths: np.ndarray) -> np.ndarray:
        """Count the parameters of width vectors, shape `(..., num_groups)` to `(...)`."""
        return self._tables.params.total(self._tables.axis_sizes(widths))

    def macs(self, widths: np.ndarray) -> np.ndarray:
        """Count the multiply-accumulates for one sample, shape `(..., num_groups)` to `(...)`."""
        return self._tables.macs.total(self._tables.axis_sizes(widths))

    def params_by_layer(self, widths: np.ndarray) -> dict[str, int]:
        """Count the parameters of each layer that has weights, by its path.

        Args:
            widths: One width vector, shape `(num_groups,)`.
        """
        sizes = self._tables.axis_sizes(widths).tolist()
        return {path: sum(_size(term, sizes) for term in terms) for path, terms in self._tables.weights.items()}

    def macs_by_layer(self, widths: np.ndarray) -> dict[str, int | None]:
        """Count the multiply-accumulates of each layer that makes some, by its path.

        Args:
            widths: One width vector, shape `(num_groups,)`.

        Returns:
            For one sample; `None` where the spatial size is not known.
        """
        sizes = self._tables.axis_sizes(widths).tolist()
        counts: dict[str, int | None] = {}
        for path, positions, term in self._tables.products:
            before = counts.get(path, 0)
            counts[path] = None if positions is None or before is None else before + positions * _size(term, sizes)
        return counts

    def weight_bytes(self, widths: np.ndarray) -> np.ndarray:
        """Count the bytes of all variables, shape `(..., num_groups)` to `(...)`."""
        return self._tables.size_bytes.total(self._tables.axis_sizes(widths))


class _Tables:
    """What a count needs to know of the model.

    Attributes:
        weights: Path of each layer that has weights → these.
        products: Path of a layer, how often it multiplies, and with which variable, for each call of a kernel.
    """

    def __init__(self, graph: ChannelGraph) -> None:
        self._graph = graph
        # Column 0 is an axis of size one, for variables with fewer axes than others.
        self._sizes = [np.append(np.ones(1, dtype=np.int64), np.zeros(len(graph.groups), dtype=np.int64))]
        self._columns: dict[bytes, int] = {}
        self._column_of: dict[int, int] = {}  # Most axes share their labels with others.
        self._terms = {id(layer): self._terms_of(layer) for _, layer in graph.records.layers.values()}
        self._matrix = np.stack(self._sizes)
        self.weights: dict[str, list[Term]] = {}
        for path, layer in graph.records.layers.values():
            counted = zip(graph.records.counted(layer), self._terms[id(layer)], strict=True)
            if terms := [term for variable, term in counted if variable.is_weight]:
                self.weights[path] = terms
        self.products: list[tuple[str, int | None, Term]] = [
            (graph.records.layers[id(used.layer)][0], used.positions, self._terms[id(used.layer)][used.variable_index])
            for used in graph.records.multiplications
        ]

    @cached_property
    def params(self) -> _Sum:
        """All weights."""
        return _Sum(term for terms in self.weights.values() for term in terms)

    @cached_property
    def macs(self) -> _Sum:
        """All products whose number is known."""
        known = [(positions, term) for _, positions, term in self.products if positions is not None]
        return _Sum((axes, positions * rest) for positions, (axes, rest) in known)

    @cached_property
    def size_bytes(self) -> _Sum:
        """All variables, in bytes."""
        return _Sum(
            (axes, rest * _item_bytes(variable.dtype))
            for _, layer in self._graph.records.layers.values()
            for variable, (axes, rest) in zip(variables_of(layer), self._terms[id(layer)], strict=True)
        )

    def _terms_of(self, layer: keras.Operation) -> list[Term]:
        shapes = [variable.shape for variable in self._graph.records.counted(layer)]
        labelled: list[dict[int, int]] = [{} for _ in shapes]
        for axis in self._graph.axes_of(layer):
            labelled[axis.variable_index][axis.axis] = self._column(axis.labels)
        return [
            (tuple(sorted(columns.values())), math.prod(size for axis, size in enumerate(shape) if axis not in columns))
            for shape, columns in zip(shapes, labelled, strict=True)
        ]

    def _column(self, labels: Labels) -> int:
        if id(labels) not in self._column_of:
            key = labels.tobytes()
            if key not in self._columns:
                self._columns[key] = len(self._sizes)
                self._sizes.append(self._graph.multiplicities(labels))
            self._column_of[id(labels)] = self._columns[key]
        return self._column_of[id(labels)]

    def axis_sizes(self, widths: np.ndarray) -> np.ndarray:
        sizes: np.ndarray = self._matrix[:, 0] + widths @ self._matrix[:, 1:].T
        return sizes


def _item_bytes(dtype: object) -> int:
    """Return the bytes of one entry from the number of bits in a name such as `bfloat16`."""
    bits = re.search(r"\d+", str(dtype))
    return 1 if bits is None else max(1, int(bits.group()) // 8)


def _size(term: Term, sizes: list[int]) -> int:
    axes, rest = term
    return rest * math.prod(sizes[axis] for axis in axes)


class _Sum:
    """A sum of coefficients times products of axis sizes; terms whose axes are alike become one."""

    def __init__(self, terms: Iterable[Term]) -> None:
        coefficients: dict[tuple[int, ...], int] = {}
        for axes, coefficient in terms:
            coefficients[axes] = coefficients.get(axes, 0) + coefficient
        rank = max((len(axes) for axes in coefficients), default=0)
        self._columns = np.array([axes + (0,) * (rank - len(axes)) for axes in coefficients], dtype=np.int64)
        self._columns = self._columns.reshape(len(coefficients), rank)
        self._coefficients = np.fromiter(coefficients.values(), dtype=np.int64, count=len(coefficients))

    def total(self, sizes: np.ndarray) -> np.ndarray:
        products = np.ones((*sizes.shape[:-1], len(self._coefficients)), dtype=np.int64)
        for columns in self._columns.T:
            products *= sizes[..., columns]
        total: np.ndarray = products @ self._coefficients
        return total
