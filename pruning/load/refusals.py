"""What no repair can bring to Keras 3, with its true cause and the way out, one row each."""

from __future__ import annotations

from dataclasses import dataclass

from pruning.errors import ModelError
from pruning.load.entries import Entry, walk

_REBUILD = "Build the model with Keras 3 layers, load the weights, and save it with model.save('model.keras')."


@dataclass(frozen=True)
class Refusal:
    """One row of the table.

    Attributes:
        message: The cause.
        hint: The way out.
        classes: Names of classes that are refused.
        arguments: Names of arguments that are refused, whatever the class.
    """

    message: str
    hint: str
    classes: frozenset[str] = frozenset()
    arguments: frozenset[str] = frozenset()


REFUSALS = (
    Refusal(
        "The model has a Lambda layer. Code in model files is not run.",
        "Replace it by layers or keras.ops, e.g. Rescaling, Reshape or keras.ops.mean, and save the model again.",
        classes=frozenset({"Lambda", "__lambda__"}),
    ),
    Refusal(
        "The model uses TensorFlow functions as layers, which Keras 3 cannot build.",
        "Replace tensor arithmetic by layers (Add, Rescaling, Resizing) or keras.ops, and save the model again.",
        classes=frozenset(
            {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod", "InstanceProperty"}
        ),
    ),
    Refusal(
        "The model has a layer that Keras 3 removed.",
        _REBUILD,
        classes=frozenset(
            {"CuDNNGRU", "CuDNNLSTM", "LocallyConnected1D", "LocallyConnected2D", "ThresholdedReLU", "DenseFeatures"}
        ),
    ),
    Refusal(
        "The model was saved by Keras 1, which uses different argument names.",
        _REBUILD,
        classes=frozenset(
            {"Convolution1D", "Convolution2D", "Deconvolution2D", "Highway", "MaxoutDense", "Merge"}
        ),
        arguments=frozenset({"W_regularizer", "border_mode", "dim_ordering", "inner_activation", "nb_filter"}),
    ),
)  # fmt: skip


def refuse(config: Entry) -> None:
    """Refuse a config that holds what Keras 3 cannot build.

    Raises:
        ModelError: It does; the first such object is named.
    """
    for entry in walk({**config, "compile_config": None}):  # what cannot be compiled is loaded without
        inner = entry["config"]
        for row in REFUSALS:
            arguments = row.arguments.intersection(inner if isinstance(inner, dict) else ())
            if entry["class_name"] in row.classes or arguments:
                name = inner.get("name") if isinstance(inner, dict) else None
                described = entry["class_name"] + (f" {str(name)[:80]!r}" if name else "")
                raise ModelError(
                    row.message,
                    field="model",
                    received=described + (f" with {', '.join(sorted(arguments))}" if arguments else ""),
                    expected="a model of built-in Keras layers",
                    hint=row.hint,
                )
