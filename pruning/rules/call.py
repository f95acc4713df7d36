"""How a layer is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np

from pruning.rules.records import Tensor


def _untraced(symbol: keras.KerasTensor) -> Tensor:
    raise LookupError(f"the tensor {symbol.name} was not traced")


@dataclass(frozen=True)
class Call:
    """How a layer is called.

    Attributes:
        args: Arguments by position, with Keras's symbolic tensors in them.
        kwargs: Arguments by name.
        traced: Returns the traced tensor of a symbolic one.
        times: How often the call is made for one sample; `None` if that is not known.
        held: Whether another layer makes the call, so that it is no node of the graph.
    """

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    traced: Callable[[keras.KerasTensor], Tensor] = _untraced
    times: int | None = 1
    held: bool = False

    @cached_property
    def masks(self) -> list[keras.KerasTensor]:
        """The tensors that only say which entries count; most of them are put there by Keras itself."""
        named = [value for name, value in self.kwargs.items() if name == "mask" or name.endswith("_mask")]
        if not named:
            return []
        return [tensor for tensor in keras.tree.flatten(named) if isinstance(tensor, keras.KerasTensor)]

    @cached_property
    def tensors(self) -> list[tuple[int, keras.KerasTensor]]:
        """Position among the flattened arguments and tensor, for each tensor of the graph that is no mask."""
        masks = {id(mask) for mask in self.masks}
        flat = enumerate(keras.tree.flatten((self.args, self.kwargs)))
        return [
            (position, value)
            for position, value in flat
            if isinstance(value, keras.KerasTensor) and id(value) not in masks
        ]

    @cached_property
    def arguments(self) -> dict[str | int, Any]:
        """The arguments by position or name."""
        return dict(enumerate(self.args)) | dict(self.kwargs)


def is_array(argument: object) -> bool:
    """Tell whether an argument is, or holds, a constant array; a list of numbers is one too."""
    if isinstance(argument, keras.KerasTensor) or np.isscalar(argument) or argument is None:
        return False
    leaves = keras.tree.flatten(argument)
    if any(isinstance(leaf, keras.KerasTensor) for leaf in leaves):
        leaves = [leaf for leaf in leaves if not isinstance(leaf, keras.KerasTensor)]
        return any(np.ndim(leaf) > 0 for leaf in leaves)
    return isinstance(argument, list | tuple) or any(np.ndim(leaf) > 0 for leaf in leaves)
