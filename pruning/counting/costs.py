"""What a model costs, as a function of its groups' widths alone: no model is built, no mask is drawn up."""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import Any

import numpy as np

from pruning.graph.groups import ChannelGraph
from pruning.keras_model.parts import variables_of

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
        return self._tables.uncounted

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
        params: All weights.
        size_bytes: All variables, in bytes.
        macs: All products whose number is known.
        uncounted: Path of a layer with another one, or `None`.
    """

    def __init__(self, graph: ChannelGraph) -> None:
        # Column 0 is an axis of size one, for variables with fewer axes than others.
        self._columns: dict[bytes, int] = {}
        self._sizes = [np.append(np.ones(1, dtype=np.int64), np.zeros(len(graph.groups), dtype=np.int64))]
        self.weights: dict[str, list[Term]] = {}
        self.products: list[tuple[str, int | None, Term]] = []
        params: dict[tuple[int, ...], int] = {}
        size_bytes: dict[tuple[int, ...], int] = {}
        macs: dict[tuple[int, ...], int] = {}
        found: dict[tuple[int, int], Term] = {}
        for path, layer in graph.records.layers.values():
            variables = variables_of(layer)
            for index, variable in enumerate(graph.records.counted(layer)):
                axes, rest = found[id(layer), index] = self._term(graph, layer, index, variable.shape)
                size_bytes[axes] = size_bytes.get(axes, 0) + rest * _item_bytes(variables[index].dtype)
                if variable.is_weight:
                    params[axes] = params.get(axes, 0) + rest
                    self.weights.setdefault(path, []).append((axes, rest))
        self.uncounted: str | None = None
        for used in graph.records.multiplications:
            axes, rest = found[id(used.layer), used.variable_index]
            path = graph.records.layers[id(used.layer)][0]
            self.products.append((path, used.positions, (axes, rest)))
            if used.positions is None:
                self.uncounted = path
            else:
                macs[axes] = macs.get(axes, 0) + used.positions * rest
        self._matrix = np.stack(self._sizes)
        self.params, self.size_bytes, self.macs = _Terms(params), _Terms(size_bytes), _Terms(macs)

    def _term(self, graph: ChannelGraph, layer: Any, variable_index: int, shape: tuple[int, ...]) -> Term:
        """Return the columns of a variable's labelled axes, and the product of its other axes."""
        labelled = {axis.axis: axis for axis in graph.axes_of(layer) if axis.variable_index == variable_index}
        columns = []
        for axis in labelled.values():
            key = axis.labels.tobytes()
            if key not in self._columns:
                self._columns[key] = len(self._sizes)
                self._sizes.append(graph.multiplicities(axis.labels))
            columns.append(self._columns[key])
        return tuple(sorted(columns)), math.prod(size for axis, size in enumerate(shape) if axis not in labelled)

    def axis_sizes(self, widths: np.ndarray) -> np.ndarray:
        sizes: np.ndarray = self._matrix[:, 0] + widths @ self._matrix[:, 1:].T
        return sizes


def _item_bytes(dtype: Any) -> int:
    """Return the bytes of one entry from the number of bits in a name such as `bfloat16`."""
    bits = re.search(r"\d+", str(dtype))
    return 1 if bits is None else max(1, int(bits.group()) // 8)


def _size(term: Term, sizes: list[int]) -> int:
    axes, rest = term
    return rest * math.prod(sizes[axis] for axis in axes)


class _Terms:
    """A sum of coefficients times products of axis sizes."""

    def __init__(self, terms: dict[tuple[int, ...], int]) -> None:
        rank = max((len(axes) for axes in terms), default=0)
        self._columns = np.array([axes + (0,) * (rank - len(axes)) for axes in terms], dtype=np.int64)
        self._columns = self._columns.reshape(len(terms), rank)
        self._coefficients = np.fromiter(terms.values(), dtype=np.int64, count=len(terms))

    def total(self, sizes: np.ndarray) -> np.ndarray:
        products = np.ones((*sizes.shape[:-1], len(self._coefficients)), dtype=np.int64)
        for columns in self._columns.T:
            products *= sizes[..., columns]
        total: np.ndarray = products @ self._coefficients
        return total
