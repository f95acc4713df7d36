"""Make a model anew, layer by layer, from the layers' own configs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import keras
import numpy as np

from pruning.errors import ModelError
from pruning.keras_model.compiled import fresh_compile_arguments
from pruning.keras_model.configs import Config, cannot_make, config_of, from_config
from pruning.keras_model.functional_class import of_class
from pruning.keras_model.graph import functional_graph, producer, run_graph, sequence, structures
from pruning.keras_model.optimizer_state import Pairs, Values, carry_exclusions, carry_over
from pruning.keras_model.parts import PARTS, assemble, layers_inside, variables_of
from pruning.keras_model.weights import initialize_with, read_weights

Edit = Callable[[keras.Operation, Config], Config]
"""`(layer, config) -> config` of its copy; functions, initializers and the like are in it as objects."""
Arguments = Callable[[keras.Operation, tuple[object, ...], Config], tuple[tuple[object, ...], Config]]
"""`(operation, args, kwargs) -> (args, kwargs)` with which its copy is called."""
Change = Callable[[keras.Operation, list[np.ndarray]], list[np.ndarray]]
"""`(layer, values) -> values` of the copy's variables, in the order of `variables_of(layer)`."""

L = TypeVar("L", bound=keras.Operation)
M = TypeVar("M", bound=keras.Model)


@dataclass(frozen=True)
class Rebuilt:
    """A new model and where its layers come from.

    Attributes:
        model: The new model, not compiled.
        copies: Id of each original layer or operation → its copy.
        leaves: The layers and operations that are no models, each with its copy.
    """

    model: keras.Model
    copies: dict[int, keras.Operation]
    leaves: tuple[tuple[keras.Operation, keras.Operation], ...]

    @property
    def variables(self) -> Pairs:
        """Each variable of the layers with its copy."""
        return [
            pair
            for leaf, copy in self.leaves
            for pair in zip(variables_of(leaf), _counterparts(leaf, copy), strict=True)
        ]


def copy_model(model: keras.Model) -> keras.Model:
    """Return a copy with the same weights, compiled in the same way, in the same state of training."""
    rebuilt = rebuild(model, lambda layer, config: config, unchanged)
    compile_like(rebuilt, model, unchanged)
    return rebuilt.model


def unchanged(layer: keras.Operation, values: list[np.ndarray]) -> list[np.ndarray]:
    """Return the values as they are: the `Change` of a copy."""
    return values


def _as_called(
    operation: keras.Operation, args: tuple[object, ...], kwargs: Config
) -> tuple[tuple[object, ...], Config]:
    return args, kwargs


def rebuild(model: keras.Model, edit: Edit, change: Change, arguments: Arguments = _as_called) -> Rebuilt:
    """Rebuild a functional or Sequential model, which is not changed.

    No initial values are drawn that would be overwritten.

    Raises:
        ModelError: A layer cannot be made anew from its own config.
    """
    try:
        with keras.StatelessScope():
            # Variables made in this scope get their value when it ends: the one set here, not a random one.
            copies = _Copies(edit, arguments)
            copy = copies.of(model)
            for variable, value in copies.values(change):
                initialize_with(variable, value)
    except (ModelError, ValueError):
        # Layers with states of their own, such as a stateful RNN, make variables that cannot wait. What is wrong
        # with others is wrong again.
        copies = _Copies(edit, arguments)
        copy = copies.of(model)
        for variable, value in copies.values(change):
            variable.assign(value)
    copies.restore_flags()
    return Rebuilt(copy, copies.by_id, tuple(copies.leaves()))


class _Copies:
    """The copies of all layers, each made once."""

    def __init__(self, edit: Edit, arguments: Arguments) -> None:
        self._edit = edit
        self._arguments = arguments
        self._originals: dict[int, keras.Operation] = {}
        self.by_id: dict[int, keras.Operation] = {}

    def of(self, operation: L) -> L:
        """Return the copy of a layer, an operation or a model."""
        if id(operation) not in self.by_id:
            copy = self._make(operation)
            self.by_id[id(operation)] = copy
            self._originals[id(operation)] = operation
        return cast(L, self.by_id[id(operation)])

    def _call_of(self, operation: keras.Operation) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            args, kwargs = self._arguments(operation, args, kwargs)
            return self.of(operation)(*args, **kwargs)

        return call

    def pairs(self) -> list[tuple[keras.Operation, keras.Operation]]:
        """Return original and copy of each, in the order in which they were made: a model after its layers."""
        return [(self._originals[key], copy) for key, copy in self.by_id.items()]

    def leaves(self) -> list[tuple[keras.Operation, keras.Operation]]:
        """Return the pairs that are no models."""
        return [(original, copy) for original, copy in self.pairs() if functional_graph(original) is None]

    def values(self, change: Change) -> Iterator[tuple[keras.Variable, np.ndarray]]:
        """Yield each variable of the copies with the value that it gets."""
        for original, copy in self.leaves():
            variables = _counterparts(original, copy)
            values = change(original, [read_weights(variable) for variable in variables_of(original)])
            if len(values) != len(variables):
                raise cannot_make(original, ValueError(_other_variables(original)))
            yield from zip(variables, values, strict=True)

    def restore_flags(self) -> None:
        """Set `trainable` from the outside in, because a model's flag sets those of all its layers; then states."""
        for original, copy in reversed(self.pairs()):
            if (
                isinstance(original, keras.Layer)
                and isinstance(copy, keras.Layer)
                and copy.trainable != original.trainable
            ):
                copy.trainable = original.trainable
        for original, copy in self.leaves():
            for variable, variable_copy in zip(variables_of(original), _counterparts(original, copy), strict=True):
                if variable_copy.trainable != variable.trainable:
                    variable_copy.trainable = variable.trainable
            # Preprocessing layers keep values that they derive from their variables.
            if hasattr(copy, "finalize_state") and variables_of(copy):
                copy.finalize_state()
            if hasattr(original, "save_assets"):
                _copy_assets(original, copy)

    def _make(self, operation: keras.Operation) -> keras.Operation:
        graph = functional_graph(operation)
        if graph is None:
            config = self._edit(operation, config_of(operation))
            return self._assembled(operation, config) if type(operation) in PARTS else from_config(operation, config)
        if isinstance(operation, keras.Sequential):
            layers = [self.of(layer) for layer in sequence(operation)]
            return _construct(operation, layers, operation.name)
        inputs = keras.tree.map_structure(lambda tensor: self.of(producer(tensor)).output, structures(graph)[0])
        outputs = run_graph(graph, inputs, self._call_of)
        plain = keras.Model(inputs, outputs, name=operation.name)
        return of_class(graph, plain, self.by_id)

    def _assembled(self, wrapper: keras.Operation, config: Config) -> keras.Operation:
        copy, held = assemble(wrapper, config, self.of)
        self.by_id.update(held)
        return copy


def _copy_assets(original: Any, copy: Any) -> None:
    """Hand on a vocabulary that was adapted, not given, which is in neither the config nor the variables."""
    with tempfile.TemporaryDirectory() as directory:
        original.save_assets(directory)
        try:
            copy.load_assets(directory)
        except AttributeError as error:  # A layer that weighs words by their frequency has no weights yet.
            raise cannot_make(original, error) from error


def _construct(model: M, layers: list[keras.Layer], name: str) -> M:
    try:
        return type(model)(layers, name=name)
    except TypeError as error:
        raise cannot_make(model, error) from error


def _counterparts(original: keras.Operation, copy: keras.Operation) -> list[keras.Variable]:
    """Return the copy's variables in the order of the original's, which another past may have given another order.

    Quantising a layer puts variables behind those that it has; one that is made quantised has them in front.
    """
    variables = variables_of(copy)
    by_name = {variable.name: variable for variable in variables}
    names = [variable.name for variable in variables_of(original)]
    unique = len(by_name) == len(variables) and sorted(by_name) == sorted(names)
    return [by_name[name] for name in names] if unique else variables


def _other_variables(layer: keras.Operation) -> str:
    held = layers_inside(layer) if isinstance(layer, keras.Layer) else []
    if any(getattr(each, "quantization_mode", None) for each in held):
        return "Keras cannot make a layer anew whose inner layers are quantised: prune first, then quantise"
    return "its copy has other variables"


def compile_like(rebuilt: Rebuilt, model: keras.Model, change: Change) -> None:
    """Compile a rebuilt model as the original is, if it is, with fresh metrics.

    The optimizer goes on where the original's is: what it keeps for each weight is changed as the weight was. One
    that keeps it in another shape starts afresh; see `carry_over`.
    """
    if not model.compiled:
        return
    rebuilt.model.compile(**fresh_compile_arguments(model))

    def changed(values: Values) -> Values:
        result: Values = {}
        for layer, _ in rebuilt.leaves:
            variables = variables_of(layer)
            if any(id(variable) in values for variable in variables):
                own = [values[id(each)] if id(each) in values else read_weights(each) for each in variables]
                result |= {id(each): value for each, value in zip(variables, change(layer, own), strict=True)}
        return result

    pairs = rebuilt.variables
    carry_exclusions(model.optimizer, rebuilt.model.optimizer, pairs)
    carry_over(model.optimizer, rebuilt.model.optimizer, pairs, changed)
