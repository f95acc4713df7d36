"""Make a model anew, layer by layer, from the layers' own configs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pruning.errors import ModelError, first_line
from pruning.graph.models import functional_graph
from pruning.rules.parts import PARTS, assemble, variables_of
from pruning.surgery.optimizer_state import Pairs, Values, carry_exclusions, carry_over
from pruning.weights import read_weights

Config = dict[str, Any]
Edit = Callable[[Any, Config], Config]
"""`(layer, config) -> config` of its copy; functions, initializers and the like are in it as objects."""
Arguments = Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
"""`(operation, args, kwargs) -> (args, kwargs)` with which its copy is called."""
Change = Callable[[Any, list[np.ndarray]], list[np.ndarray]]
"""`(layer, values) -> values` of the copy's variables, in the order of `variables_of(layer)`."""


@dataclass(frozen=True)
class Rebuilt:
    """A new model and where its layers come from.

    Attributes:
        model: The new model, not compiled.
        copies: Id of each original layer or operation → its copy.
        leaves: The layers and operations that are no models, each with its copy.
    """

    model: keras.Model
    copies: dict[int, Any]
    leaves: tuple[tuple[Any, Any], ...]

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


def unchanged(layer: Any, values: list[np.ndarray]) -> list[np.ndarray]:
    """Return the values as they are: the `Change` of a copy."""
    return values


def _as_called(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
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
                variable._initializer = _Value(value)
    except ValueError as error:
        if "stateless scope" not in str(error):
            raise
        # Layers with states of their own, such as a stateful RNN, make variables that cannot wait.
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
        self._originals: dict[int, Any] = {}
        self.by_id: dict[int, Any] = {}

    def of(self, operation: Any) -> Any:
        """Return the copy of a layer, an operation or a model."""
        if id(operation) not in self.by_id:
            copy = self._make(operation)
            self.by_id[id(operation)] = copy
            self._originals[id(operation)] = operation
        return self.by_id[id(operation)]

    def _call_of(self, operation: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = self._arguments(operation, args, kwargs)
            return self.of(operation)(*args, **kwargs)

        return call

    def pairs(self) -> list[tuple[Any, Any]]:
        """Return original and copy of each, in the order in which they were made: a model after its layers."""
        return [(self._originals[key], copy) for key, copy in self.by_id.items()]

    def leaves(self) -> list[tuple[Any, Any]]:
        """Return the pairs that are no models."""
        return [(original, copy) for original, copy in self.pairs() if functional_graph(original) is None]

    def values(self, change: Change) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield each variable of the copies with the value that it gets."""
        for original, copy in self.leaves():
            variables = _counterparts(original, copy)
            values = change(original, [read_weights(variable) for variable in variables_of(original)])
            if len(values) != len(variables):
                raise _cannot_make(original, ValueError(_other_variables(original)))
            yield from zip(variables, values, strict=True)

    def restore_flags(self) -> None:
        """Set `trainable` from the outside in, because a model's flag sets those of all its layers; then states."""
        for original, copy in reversed(self.pairs()):
            if isinstance(original, keras.Layer) and copy.trainable != original.trainable:
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

    def _make(self, operation: Any) -> Any:
        graph = functional_graph(operation)
        if graph is None:
            config = self._edit(operation, _config(operation))
            return self._assembled(operation, config) if type(operation) in PARTS else _from_config(operation, config)
        if isinstance(operation, keras.Sequential):
            layers = [self.of(layer) for layer in operation._layers]
            return _construct(operation, layers, name=operation.name)
        inputs = keras.tree.map_structure(
            lambda tensor: self.of(tensor._keras_history.operation).output, operation._inputs_struct
        )
        outputs = operation._run_through_graph(inputs, operation_fn=self._call_of)
        return _construct(operation, inputs, outputs, name=operation.name)

    def _assembled(self, wrapper: Any, config: Config) -> Any:
        copy, held = assemble(wrapper, config, self.of)
        self.by_id.update(held)
        return copy


def _config(operation: Any) -> Config:
    """Return the config with the layer's own functions and objects in place of their names.

    A name may stand for something else in Keras, and a function of the user's for nothing at all.
    """
    try:
        config = dict(operation.get_config())
    except NotImplementedError as error:
        raise _cannot_make(operation, error) from error
    for key, value in config.items():
        own = getattr(operation, key, None)
        if isinstance(value, str | dict) and callable(own) and not isinstance(own, keras.Layer | type):
            config[key] = own
    return config


def _from_config(operation: Any, config: Config) -> Any:
    try:
        if isinstance(operation, keras.layers.Lambda):
            return type(operation)(**config)  # Its from_config would want to load code.
        return type(operation).from_config(config)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        if "stateless scope" in str(error):
            raise
        raise _cannot_make(operation, error) from error


def _copy_assets(original: Any, copy: Any) -> None:
    """Hand on a vocabulary that was adapted, not given, which is in neither the config nor the variables."""
    with tempfile.TemporaryDirectory() as directory:
        original.save_assets(directory)
        try:
            copy.load_assets(directory)
        except AttributeError as error:  # A layer that weighs words by their frequency has no weights yet.
            raise _cannot_make(original, error) from error


def _construct(model: Any, *arguments: Any, name: str) -> Any:
    try:
        return type(model)(*arguments, name=name)
    except TypeError as error:
        raise _cannot_make(model, error) from error


def _cannot_make(operation: Any, error: Exception) -> ModelError:
    return ModelError(
        f"The layer {operation.name!r} cannot be made anew from its own config.",
        field="model",
        received=f"{type(operation).__module__}.{type(operation).__name__}: {first_line(error)}",
        expected="a layer for which type(layer).from_config(layer.get_config()) works",
        hint="Give the class a get_config that returns all its constructor's arguments.",
    )


def _counterparts(original: Any, copy: Any) -> list[Any]:
    """Return the copy's variables in the order of the original's, which another past may have given another order.

    Quantising a layer puts variables behind those that it has; one that is made quantised has them in front.
    """
    variables = variables_of(copy)
    by_name = {variable.name: variable for variable in variables}
    names = [variable.name for variable in variables_of(original)]
    unique = len(by_name) == len(variables) and sorted(by_name) == sorted(names)
    return [by_name[name] for name in names] if unique else variables


def _other_variables(layer: Any) -> str:
    if any(getattr(held, "quantization_mode", None) for held in layer._flatten_layers(include_self=False)):
        return "Keras cannot make a layer anew whose inner layers are quantised: prune first, then quantise"
    return "its copy has other variables"


class _Value:
    """Initial value of a variable, in the form of an initializer."""

    def __init__(self, value: np.ndarray) -> None:
        self._value = value

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return keras.ops.convert_to_tensor(self._value, dtype=dtype)


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


def fresh_compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Return what a model was compiled with; what has a state is made anew, all else is the same object.

    Raises:
        ModelError: A metric or the optimizer cannot be made anew from its own config.
    """
    arguments = dict(model._compile_config.config)
    if isinstance(model.optimizer, keras.Optimizer):
        # Not the name or object that was given to `compile`: a learning rate set since, and the loss scale that
        # Keras adds, are the model's own optimizer's alone.
        arguments["optimizer"] = model.optimizer
    return fresh(arguments)


def fresh(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of `compile` in which what has a state is made anew."""
    arguments = dict(arguments)
    for name in ("metrics", "weighted_metrics"):
        arguments[name] = keras.tree.map_structure(_fresh, arguments.get(name))
    if isinstance(arguments["optimizer"], keras.Optimizer):
        arguments["optimizer"] = _fresh_optimizer(arguments["optimizer"])
    return arguments


def _fresh(metric: Any) -> Any:
    if not isinstance(metric, keras.Metric):
        return metric
    return _from_config(metric, _config(metric))


def _fresh_optimizer(optimizer: Any) -> Any:
    config = dict(optimizer.get_config())
    schedule = getattr(optimizer, "_learning_rate", None)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        config["learning_rate"] = schedule
    try:
        return type(optimizer).from_config(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _cannot_make(optimizer, error) from error
