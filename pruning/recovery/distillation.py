"""What a teacher adds to the loss: how far outputs and features of a model are from its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
from keras import ops

from pruning.keras_model.compiled import loss_object
from pruning.keras_model.graph import Functional, call_nodes, last_layer, require_graph, structures
from pruning.keras_model.tensors import BackendTensor
from pruning.spec import Distillation
from pruning.training.compiling import Compiling
from pruning.training.keras_names import loss_name

_SMALLEST = 1e-7


def _categorical(told: BackendTensor, output: BackendTensor, temperature: float) -> BackendTensor:
    told, output = ops.log_softmax(told / temperature), ops.log_softmax(output / temperature)
    return temperature**2 * ops.sum(ops.exp(told) * (told - output), axis=-1)


def _binary(told: BackendTensor, output: BackendTensor, temperature: float) -> BackendTensor:
    told, output = told / temperature, output / temperature
    true = ops.sigmoid(told) * (ops.log_sigmoid(told) - ops.log_sigmoid(output))
    false = ops.sigmoid(-told) * (ops.log_sigmoid(-told) - ops.log_sigmoid(-output))
    return temperature**2 * ops.mean(true + false, axis=-1)


def _squared(told: BackendTensor, output: BackendTensor, temperature: float) -> BackendTensor:
    return ops.mean(ops.square(told - output), axis=-1)


def _log(probabilities: BackendTensor) -> BackendTensor:
    return ops.log(ops.maximum(probabilities, _SMALLEST))


def _log_odds(probabilities: BackendTensor) -> BackendTensor:
    return _log(probabilities) - _log(1 - probabilities)


Distance = Callable[[BackendTensor, BackendTensor, float], BackendTensor]
"""`(teacher's, student's, temperature) -> distances`, shapes `(..., n)` and `(...)`; logits where there are classes."""

_DISTANCES: dict[str, Distance] = {
    "sparse_categorical_crossentropy": _categorical,
    "categorical_crossentropy": _categorical,
    "categorical_focal_crossentropy": _categorical,
    "binary_crossentropy": _binary,
    "binary_focal_crossentropy": _binary,
    "softmax": _categorical,
    "sigmoid": _binary,
}
"""Loss of an output, or else its activation → the distance; others are squared differences."""

_LOGITS: dict[Distance, Callable[[BackendTensor], BackendTensor]] = {_categorical: _log, _binary: _log_odds}
"""Distance → what makes logits, up to a constant, of probabilities."""


class SoftLoss(keras.Loss):
    """The distance of an output to that of a teacher, with samples, masks and reduction as in the output's own loss.

    Args:
        distance: Which one.
        temperature: See `Distillation`.
        are_probabilities: Whether the outputs are what a softmax or sigmoid makes, not what goes into it.
        reduction: That of Keras.
    """

    def __init__(self, distance: Distance, temperature: float, are_probabilities: bool, reduction: str) -> None:
        super().__init__(name="distillation", reduction=reduction, dtype="float32")
        self._distance, self._temperature = distance, temperature
        self._logits = _LOGITS.get(distance) if are_probabilities else None

    @classmethod
    def of(cls, loss: object, tensor: keras.KerasTensor, temperature: float) -> SoftLoss:
        """Return the distance that suits an output.

        Args:
            loss: Its own loss: a name, function or object.
            tensor: Its symbol in the model.
            temperature: See `Distillation`.
        """
        kind, made = loss_name(loss), loss_object(loss)
        if kind in _DISTANCES:
            are_probabilities = not made.get_config().get("from_logits", False)
        else:
            kind, are_probabilities = _activation(tensor), True
        return cls(_DISTANCES.get(kind, _squared), temperature, are_probabilities, made.reduction)

    def call(self, y_true: BackendTensor, y_pred: BackendTensor) -> BackendTensor:
        """Return the distance for each entry."""
        if self._logits is not None:
            y_true, y_pred = self._logits(y_true), self._logits(y_pred)
        return self._distance(y_true, y_pred, self._temperature)


def _activation(tensor: keras.KerasTensor) -> str:
    layer = last_layer(tensor)
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


@dataclass(frozen=True)
class Teaching:
    """A term of the loss for outputs and features.

    Sources: Hinton et al. 2015, Distilling the Knowledge in a Neural Network, arXiv:1503.02531, for outputs; Romero et
    al. 2015, FitNets, arXiv:1412.6550, for features. Differs: features are compared as they are, without a regressor,
    and only where they have the same shape; their distance is relative to the size of the teacher's.

    Attributes:
        teacher: Runs in inference mode on the student's inputs; never changed.
        distillation: What is asked.
        outputs: For each output the distance to the teacher's, `None` where the output has no loss, and its weight.
        tapped: The student, with outputs and features that are compared; `None` if none are.
        told: The teacher likewise.
    """

    teacher: keras.Model
    distillation: Distillation
    outputs: tuple[tuple[keras.Loss | None, float], ...]
    tapped: Functional | None
    told: Functional

    @classmethod
    def of(cls, student: keras.Model, teacher: keras.Model, wish: Distillation, compiling: Compiling) -> Teaching:
        """Set a teacher over a student that was pruned from it.

        Features are compared behind each call of a layer with weights outside nested models, and behind nested models,
        if layer and shape are those of the teacher's: behind layers whose channels are locked, or have all stayed. If
        there are none, `compiling.notes` says so.

        Args:
            student: The model to train.
            teacher: A model with the same inputs and outputs.
            wish: What is asked.
            compiling: Knows the losses.
        """
        points = _points(student, teacher) if wish.features else []
        note = "distillation.features: no layer makes what has the shape of the original's, so no features are compared"
        if wish.features and not points and note not in compiling.notes:
            compiling.notes.append(note)
        outputs = tuple(
            (None if loss is None else SoftLoss.of(loss, tensor, wish.temperature), weight)
            for (loss, weight), tensor in zip(compiling.output_losses(), require_graph(student).outputs, strict=True)
        )
        tapped = _tapped(student, [own for own, _ in points]) if points else None
        return cls(teacher, wish, outputs, tapped, _tapped(teacher, [theirs for _, theirs in points]))

    def loss(
        self,
        hard: BackendTensor,
        fixed: BackendTensor | float,
        x: object,
        y_pred: object,
        sample_weight: object,
        features: Sequence[BackendTensor],
    ) -> BackendTensor:
        """Return the loss of a batch, a scalar.

        Args:
            hard: The loss without a teacher.
            fixed: What of it is no matter of the targets, such as regularization: it counts in full.
            x: Inputs.
            y_pred: What the student makes of them.
            sample_weight: What samples count, as Keras takes it.
            features: What the student makes at the points.
        """
        told = [ops.stop_gradient(each) for each in keras.tree.flatten(self.told(x, training=False))]
        predicted = keras.tree.flatten(y_pred)
        counted = [None] if sample_weight is None else keras.tree.flatten(sample_weight)
        counted = counted * len(predicted) if len(counted) == 1 else counted
        soft = fixed
        for (distance, weight), theirs, own, each in zip(
            self.outputs, told[: len(predicted)], predicted, counted, strict=True
        ):
            if distance is not None:
                soft += weight * distance(theirs, own, each)
        share = self.distillation.weight
        loss = (1 - share) * hard + share * soft
        if len(features):
            apart = [_apart(*each) for each in zip(told[len(predicted) :], features, strict=True)]
            loss += self.distillation.features * sum(apart) / len(apart)
        return loss


def _apart(theirs: BackendTensor, own: BackendTensor) -> BackendTensor:
    """Return the mean squared difference of features over the mean square of the teacher's."""
    theirs, own = ops.cast(theirs, "float32"), ops.cast(own, "float32")
    return ops.mean(ops.square(theirs - own)) / ops.maximum(ops.mean(ops.square(theirs)), _SMALLEST)


def _tapped(model: keras.Model, features: Sequence[keras.KerasTensor]) -> Functional:
    """Return a model of the same layers that also gives out features, as a list behind its outputs."""
    inputs, outputs = structures(model)
    return Functional(inputs, (outputs, list(features)), name=model.name)


def _points(student: keras.Model, teacher: keras.Model) -> list[tuple[keras.KerasTensor, keras.KerasTensor]]:
    """Return the symbols of features that are compared, each the student's with the teacher's."""
    own, theirs = _features(student), _features(teacher)
    return [(tensor, theirs[key]) for key, tensor in own.items() if key in theirs and tensor.shape == theirs[key].shape]


def _features(model: keras.Model) -> dict[tuple[str, int], keras.KerasTensor]:
    """Return name of a layer with weights, and number of what it makes over all its calls → the symbol."""
    graph = require_graph(model)
    outputs = {id(tensor) for tensor in graph.outputs}
    features: dict[tuple[str, int], keras.KerasTensor] = {}
    numbers: dict[str, int] = {}
    for node in call_nodes(graph):
        layer = node.operation
        for tensor in node.outputs if isinstance(layer, keras.Layer) and layer.weights else []:
            numbers[layer.name] = numbers.get(layer.name, -1) + 1
            if id(tensor) not in outputs and keras.backend.is_float_dtype(tensor.dtype):
                features[layer.name, numbers[layer.name]] = tensor
    return features
