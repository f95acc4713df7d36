"""Measure model files by themselves: Keras, NumPy and scikit-learn's digits, and nothing of this project.

Arguments: the number of training samples, then model files. Prints JSON: file → accuracy on the other samples, its
parameters, and its multiply-accumulates, reckoned from the shapes of kernels and outputs.
"""

import json
import sys

import keras
import numpy as np
from sklearn.datasets import load_digits


def macs(model: keras.Model) -> int:
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += int(np.prod(layer.kernel.shape)) * height * width
        elif isinstance(layer, keras.layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


num_train = int(sys.argv[1])
digits = load_digits()
images, labels = digits.images[num_train:, :, :, None].astype("float32") / 16, digits.target[num_train:]
measured = {}
for path in sys.argv[2:]:
    model = keras.saving.load_model(path)
    accuracy = float(np.mean(np.argmax(keras.ops.convert_to_numpy(model(images)), axis=1) == labels))
    measured[path] = {"val_accuracy": accuracy, "params": model.count_params(), "macs": macs(model)}
sys.stdout.write(json.dumps(measured))
