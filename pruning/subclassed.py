"""A subclassed model → a functional one, where that is exactly the same."""

from __future__ import annotations

from typing import Any

import keras

from pruning.errors import ModelError, first_line
from pruning.keras_model.compiled import fresh_compile_arguments
from pruning.keras_model.graph import built_shapes, call_nodes, functional_graph, require_graph, takes_training
from pruning.proof.random_inputs import flat_arrays, relative_difference, usable_inputs

_TOLERANCE = 1e-6
_HINT = "Rebuild the model as keras.Model(inputs, outputs), from Keras layers and keras.ops alone."


def as_functional(model: keras.Model, inputs: Any = None) -> keras.Model:
    """Write down what a subclassed model calls as a functional model, which can be pruned.

    The model's `call` is run once on symbolic inputs, as in inference. The functional model holds the same layers,
    so that it shares their weights; it is compiled alike, with a fresh optimizer.

    Args:
        model: A built model whose `call` consists of Keras layers and `keras.ops`; a functional or Sequential one
            comes back as it is.
        inputs: `keras.Input(...)`, or a structure of them as `call` takes it. Default: float32 inputs of the
            shapes with which the model was built.

    Raises:
        ModelError: It calls something else, does another thing in training, has weights outside its layers, or the
            functional model gives other outputs on random inputs.
    """
    if functional_graph(model) is not None or isinstance(model, keras.Sequential):
        return model
    if not isinstance(model, keras.Model):
        raise _refusal(model, "it is no keras.Model")
    inputs = _inputs(model) if inputs is None else inputs
    traced = [_traced(model, inputs, **arguments) for arguments in _calls(model)]
    operations = [[_nature(node.operation) for node in call_nodes(require_graph(each))] for each in traced]
    if operations[0] != operations[-1]:
        raise _refusal(model, "it calls other layers in training than in inference")
    functional = traced[0]
    held = {id(weight) for weight in functional.weights}
    others = [weight.path for weight in model.weights if id(weight) not in held]
    if others:
        raise _refusal(model, f"it has weights that none of the layers it calls holds: {', '.join(others[:3])}")
    _compare(model, functional)
    if model.compiled:
        functional.compile(**fresh_compile_arguments(model))
    return functional


def _inputs(model: Any) -> Any:
    shapes = built_shapes(model)
    if shapes is None:
        raise _refusal(model, "it is not built, so its shapes are not known", "Call it once on data, or pass `inputs`.")
    if len(shapes) > 1:
        raise _refusal(model, "its call takes several arguments", "Let it take one list or dict of inputs.")
    return _symbolic(next(iter(shapes.values())))


def _symbolic(shape: Any) -> Any:
    """Return inputs for a structure of shapes, in which a shape is a tuple or list of sizes."""
    if isinstance(shape, dict):
        return {name: _symbolic(each) for name, each in shape.items()}
    if all(size is None or isinstance(size, int) for size in shape):
        return keras.Input(tuple(shape[1:]))
    return [_symbolic(each) for each in shape]


def _calls(model: Any) -> list[dict[str, Any]]:
    return [{"training": False}, {"training": True}] if takes_training(model) else [{}]


def _traced(model: Any, inputs: Any, **arguments: Any) -> keras.Model:
    try:
        outputs = model.call(inputs, **arguments)
        return keras.Model(inputs, outputs, name=model.name)
    except Exception as error:
        raise _refusal(model, f"its call does not run on symbolic inputs: {first_line(error)}") from error


def _nature(operation: Any) -> Any:
    """Return what tells two calls apart: the layer itself, or the kind of an operation, which is new at each call."""
    return id(operation) if isinstance(operation, keras.Layer) else type(operation)


def _compare(model: keras.Model, functional: keras.Model) -> None:
    def run(inputs: Any) -> Any:
        with keras.StatelessScope():  # States, such as where random numbers stand, stay as they are.
            return flat_arrays(model(inputs, training=False) if takes_training(model) else model(inputs))

    inputs, expected = usable_inputs(functional, run, num_samples=4, seed=0)
    with keras.StatelessScope():
        actual = flat_arrays(functional(inputs, training=False))
    same = len(expected) == len(actual)
    difference = max(map(relative_difference, expected, actual), default=0.0) if same else float("inf")
    if difference > _TOLERANCE:
        raise _refusal(model, f"run on data it gives other outputs (relative difference {difference:.1e})")


def _refusal(model: Any, reason: str, hint: str = _HINT) -> ModelError:
    return ModelError(
        f"The subclassed model cannot be written down as a functional one: {reason}.",
        field="model",
        received=f"{type(model).__module__}.{type(model).__name__}",
        expected="a model whose call consists of Keras layers and keras.ops",
        hint=hint,
    )
