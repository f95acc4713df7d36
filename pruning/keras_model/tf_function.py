"""A model as a function of TensorFlow, for formats that Keras writes by way of it."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.export.export_utils import get_input_signature, make_tf_tensor_spec


def tf_function(model: keras.Model) -> tuple[Any, list[Any]]:
    """Return the model's inference as a `tf.function`, and the specs of its inputs; tf2onnx can take them."""
    from keras.src.export.onnx import get_concrete_fn
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    signature = keras.tree.map_structure(make_tf_tensor_spec, get_input_signature(model))
    patch_tf2onnx()
    return get_concrete_fn(model, signature), signature
