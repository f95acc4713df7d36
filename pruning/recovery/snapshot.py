"""The variables of a model and of its optimizer, as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import keras
import numpy as np

from pruning.keras_model.optimizer_state import trained_variables
from pruning.keras_model.weights import read_weights


@dataclass(frozen=True)
class Snapshot:
    """All that training changes in a model.

    Attributes:
        variables: The model's variables in order, those of its seed generators among them.
        trained: Places among them of what the optimizer trains; `None`: there is no optimizer with a state.
        optimizer: The optimizer's variables in order.
    """

    variables: list[np.ndarray]
    trained: tuple[int, ...] | None = None
    optimizer: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(cls, model: keras.Model) -> Snapshot:
        """Copy what a model holds now."""
        variables = [_copy(variable) for variable in model.variables]
        optimizer = model.optimizer if model.compiled else None
        if not isinstance(optimizer, keras.Optimizer) or not optimizer.built:
            return cls(variables)
        places = {id(variable): place for place, variable in enumerate(model.variables)}
        trained = tuple(places[id(variable)] for variable in trained_variables(optimizer))
        return cls(variables, trained, tuple(_copy(variable) for variable in optimizer.variables))

    def into(self, model: keras.Model) -> None:
        """Write everything into a model of the same architecture that is compiled in the same way."""
        assign(model.variables, self.variables)
        if self.trained is None:
            return
        if not model.optimizer.built:
            model.optimizer.build([model.variables[place] for place in self.trained])
        assign(model.optimizer.variables, self.optimizer)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays by name, for a file."""
        named = {f"variables.{place}": array for place, array in enumerate(self.variables)}
        if self.trained is not None:
            named["trained"] = np.asarray(self.trained, dtype=np.int64)
            named |= {f"optimizer.{place}": array for place, array in enumerate(self.optimizer)}
        return named

    @classmethod
    def from_arrays(cls, named: dict[str, np.ndarray]) -> Snapshot:
        """Return the snapshot that `arrays` came from."""
        trained = tuple(int(place) for place in named["trained"]) if "trained" in named else None
        return cls(numbered(named, "variables"), trained, tuple(numbered(named, "optimizer")))


def numbered(named: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    """Return the arrays `prefix.0`, `prefix.1` and so on, in order."""
    found: list[np.ndarray] = []
    while f"{prefix}.{len(found)}" in named:
        found.append(named[f"{prefix}.{len(found)}"])
    return found


def assign(variables: Iterable[keras.Variable], values: Iterable[np.ndarray]) -> None:
    """Give variables their values; NumPy's files know types such as bfloat16 as bytes alone."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value.view(read_weights(variable).dtype) if value.dtype.kind == "V" else value)


def _copy(variable: keras.Variable) -> np.ndarray:
    return np.array(read_weights(variable))
