"""What an HDF5 file keeps of an optimizer, given back to it."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras
import numpy as np
from keras.src.legacy.saving.legacy_h5_format import (
    load_attributes_from_hdf5_group,
    load_optimizer_weights_from_hdf5_group,
)

from pruning.keras_model.learning_rate import fresh_optimizer
from pruning.keras_model.optimizer_state import has_state, slots_of

_STATE = "optimizer_weights"


def restore_optimizer(model: keras.Model, path: Path) -> bool:
    """Give a model from an HDF5 file an optimizer that trains its variables, with its state if the file has that.

    Keras's own loader builds the optimizer for the variables that a model has outside its layers: for none.

    Args:
        model: Compiled; as Keras loaded it.
        path: The file, of Keras 3 or 2.

    Returns:
        Whether the optimizer goes on where it was; else it starts afresh, for its state does not fit the variables.
    """
    optimizer = fresh_optimizer(model.optimizer)
    names, values = _state(path)
    optimizer.build(model.trainable_variables)
    variables = _in_order_of(names, optimizer) if names else []
    fits = [tuple(variable.shape) for variable in variables] == [value.shape for value in values]
    for variable, value in zip(variables, values, strict=True) if fits else ():
        variable.assign(value)
    has_steps = bool(values) and int(values[0]) > 0
    if has_steps and not fits and not slots_of(optimizer):
        optimizer.iterations.assign(values[0])  # Keras 2 kept momenta that are not used.
        fits = True
    # What is set here Keras does not track.
    vars(model)["optimizer"] = optimizer if has_state(optimizer) else fresh_optimizer(optimizer)
    return fits or not has_steps


def _state(path: Path) -> tuple[list[str], list[np.ndarray]]:
    with h5py.File(path, "r") as file:
        if _STATE not in file:
            return [], []
        names = load_attributes_from_hdf5_group(file[_STATE], "weight_names")
        return names, [np.asarray(value) for value in load_optimizer_weights_from_hdf5_group(file)]


def _in_order_of(names: list[str], optimizer: keras.Optimizer) -> list[keras.Variable]:
    """Return the variables of an optimizer in the order in which a file has them."""
    if names[0].endswith("/iter:0"):  # before Keras 2.11: all momenta, then all velocities, and so on
        return [optimizer.iterations, *slots_of(optimizer)]
    has_rate = any("learning_rate" in name for name in names)
    return [each for each in optimizer.variables if has_rate or each.name != "learning_rate"]
