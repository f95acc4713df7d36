"""The proof: the pruned model computes what the original does without the removed channels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import keras
import numpy as np

from pruning.errors import VerificationError, first_line
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.configs import Config
from pruning.keras_model.graph import Functional, call_nodes, functional_graph, last_layer, require_graph
from pruning.keras_model.parts import layers_inside, variables_of
from pruning.keras_model.precision import double_precision, in_double
from pruning.plan import PruningPlan
from pruning.proof.masking import Mask, run
from pruning.proof.random_inputs import relative_difference, usable_inputs
from pruning.surgery.cutting import kept_channels
from pruning.surgery.rebuild import copy_model, rebuild

TOLERANCE = 1e-5
"""Largest relative difference accepted."""

_FLOATING = ("float16", "bfloat16", "float32", "mixed_float16", "mixed_bfloat16")

_SATURATING = (
    keras.activations.hard_sigmoid,
    keras.activations.hard_tanh,
    keras.activations.relu6,
    keras.activations.sigmoid,
    keras.activations.softmax,
    keras.activations.softsign,
    keras.activations.sparse_sigmoid,
    keras.activations.sparsemax,
    keras.activations.tanh,
)
"""What hides a difference between large values, or makes outputs all but constant."""


@dataclass(frozen=True)
class Proof:
    """The result of comparing a pruned model with its masked original.

    Attributes:
        passed: Whether every output agrees within `TOLERANCE`.
        max_relative_difference: Largest absolute difference over the largest absolute value, worst output.
        precision: `"float32"`, or `"float64"` where rounding alone went beyond the tolerance.
        num_samples: Random inputs compared.
        output_spread: Largest relative difference between the outputs for two inputs. Near 0 the outputs
            hardly depend on the input, and their agreement says little.
    """

    passed: bool
    max_relative_difference: float
    precision: str
    num_samples: int
    output_spread: float

    def require(self) -> None:
        """Refuse a model that is not proven right.

        Raises:
            VerificationError: The proof failed.
        """
        if not self.passed:
            raise VerificationError(
                "The pruned model does not compute what the original computes without the removed channels.",
                field="model",
                received=f"relative difference {self.max_relative_difference:.2e}",
                expected=f"at most {TOLERANCE:.0e}",
                hint="The two are compared as `apply_plan` leaves them, before any training. If you trained neither, "
                "and no rule of your own is at work, this is a defect of the library: please report the architecture.",
            )


def verify(model: keras.Model, small: keras.Model, plan: PruningPlan, *, num_samples: int = 4, seed: int = 0) -> Proof:
    """Compare the pruned model with the original in which every removed channel is zeroed where it is read.

    Compared are all outputs, before a final activation that saturates as well, on the same random inputs, in
    inference mode.

    Args:
        model: The model that was pruned; not changed.
        small: What `apply_plan(model, plan)` gave; not changed.
        plan: The plan between the two.
        num_samples: Batch size of the random input, at least 1; a bit more where some tensor has an axis of that size.
        seed: Seed of the random input.

    Raises:
        PlanError: The plan was made for another architecture.
        VerificationError: There are no random inputs on which the original gives finite outputs.
    """
    graph = ChannelGraph(model)
    return prove(graph, graph.stays(kept_channels(graph, plan)), small, num_samples=num_samples, seed=seed)


def prove(graph: ChannelGraph, stays: np.ndarray, small: keras.Model, *, num_samples: int = 4, seed: int = 0) -> Proof:
    """Compare a pruned model with the masked original, whose labels that stay are known."""
    return _Comparison(graph.model, Mask.of(graph, stays), small, max(num_samples, 1), seed).proof()


def compare(expected: keras.Model, actual: keras.Model, *, num_samples: int = 4, seed: int = 0) -> Proof:
    """Compare two models that should be equal, in the same way."""
    return _Comparison(expected, Mask(), actual, max(num_samples, 1), seed).proof()


class _Comparison:
    """One comparison of an original, some of whose channels are masked, with a pruned model."""

    def __init__(
        self,
        model: keras.Model,
        mask: Mask,
        small: keras.Model,
        num_samples: int,
        seed: int,
    ) -> None:
        self._model, self._mask, self._small = model, mask, small
        taken = _sizes(require_graph(model)) | _sizes(require_graph(small))
        num_samples = next(size for size in count(num_samples) if size not in taken)
        self._inputs, self._expected = usable_inputs(
            model, lambda inputs: run(model, mask, inputs), num_samples=num_samples, seed=seed
        )
        self._num_samples = num_samples

    def proof(self) -> Proof:
        """Compare the models themselves; where that is not enough, copies in another precision.

        A saturated softmax would hide any difference, half precision is too coarse, and cancellation can make
        rounding errors large. Then copies are compared, after a check that the copies are faithful.
        """
        direct = self._difference(self._expected, run(self._small, Mask(), self._inputs))
        agree = _is_exact(self._model) and direct <= TOLERANCE
        if agree and not _saturates(self._model):
            return self._proof(direct, "float32")
        if not agree and not self._copies_are_faithful():
            return self._proof(float("inf"), "float32")
        difference = self._difference_of_copies("float32")
        if difference <= TOLERANCE:
            return self._proof(difference, "float32")
        try:
            with double_precision():
                return self._proof(self._difference_of_copies("float64"), "float64")
        except Exception as error:  # Each backend has its own error for an operation without a float64 kernel.
            raise VerificationError(
                "The difference may be rounding alone, but the backend cannot compute the model in float64 to tell.",
                field="model",
                received=f"relative difference {difference:.2e} in float32; {first_line(error)}",
                expected=f"at most {TOLERANCE:.0e}",
            ) from error

    def _difference_of_copies(self, precision: str) -> float:
        left = run(*_bare(self._model, precision, self._mask), self._inputs)
        right = run(*_bare(self._small, precision, Mask()), self._inputs)
        return self._difference(left, right)

    def _copies_are_faithful(self) -> bool:
        models = (self._model, self._small)
        return all(
            self._difference(run(model, Mask(), self._inputs), run(copy_model(model), Mask(), self._inputs))
            <= TOLERANCE
            for model in models
        )

    def _difference(self, expected: list[np.ndarray], actual: list[np.ndarray]) -> float:
        if len(expected) != len(actual):
            return float("inf")
        return max(relative_difference(left, right) for left, right in zip(expected, actual, strict=True))

    def _proof(self, difference: float, precision: str) -> Proof:
        spread = max(relative_difference(output, np.roll(output, 1, axis=0)) for output in self._expected)
        return Proof(difference <= TOLERANCE, difference, precision, self._num_samples, spread)


def _sizes(graph: Functional) -> set[int | None]:
    """Return the sizes of all axes of all tensors but the batch axes.

    Keras on TensorFlow takes an operand of shape `(n, 1, 1, 1)` for a bias if the other one has `n` channels, so
    that a batch of that size would be computed in another way than any other.
    """
    sizes: set[int | None] = set()
    for node in call_nodes(graph):
        inner = functional_graph(node.operation)
        sizes |= _sizes(inner) if inner is not None else set()
        sizes.update(size for tensor in node.outputs for size in tensor.shape[1:])
    return sizes


def _bare(model: keras.Model, precision: str, mask: Mask) -> tuple[keras.Model, Mask]:
    """Return a copy in the given precision, without activations at its end that saturate, and what is masked in it."""
    last = {id(last_layer(tensor)) for tensor in require_graph(model).outputs}

    def edit(layer: keras.Operation, config: Config) -> Config:
        if id(layer) in last and _ends_saturated(layer):
            config["activation"] = "linear"
        policy = getattr(layer, "dtype_policy", None)
        if policy is not None and policy.name in _FLOATING:
            config["dtype"] = in_double(layer) if precision == "float64" else precision
        return config

    def change(layer: keras.Operation, values: list[np.ndarray]) -> list[np.ndarray]:
        variables = variables_of(layer)
        pairs = zip(variables, values, strict=True)
        return [mask.weights[id(variable)][1] if id(variable) in mask.weights else value for variable, value in pairs]

    copy = rebuild(model, edit, change)
    return copy.model, Mask(present={id(copy.copies[key]): present for key, present in mask.present.items()})


def _saturates(model: keras.Model) -> bool:
    return any(_ends_saturated(last_layer(tensor)) for tensor in require_graph(model).outputs)


def _ends_saturated(layer: keras.Operation) -> bool:
    """Tell whether a layer's activation is the last thing that it computes; that of a recurrent one is within."""
    return getattr(layer, "activation", None) in _SATURATING and not isinstance(layer, keras.layers.RNN)


def _is_exact(model: keras.Model) -> bool:
    types = {layer.compute_dtype for layer in layers_inside(model)}
    return not types & {"float16", "bfloat16"}
