"""Built-in datasets."""

from __future__ import annotations

import numpy as np

from pruning.datasets.data import Data
from pruning.errors import DataError

NAMES = ("digits",)


def load_builtin(name: str) -> Data:
    """Load a built-in dataset by name, split the same way each time.

    `digits`: 1,797 images of handwritten digits from scikit-learn, shape `(8, 8, 1)`, values 0 to 16;
    a fifth of each class is the validation set.

    Raises:
        DataError: The name is not known.
    """
    if name not in NAMES:
        raise DataError("Unknown built-in dataset.", field="dataset", received=name, expected="digits")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images[..., np.newaxis].astype(np.float32)
    x_train, x_val, y_train, y_val = train_test_split(
        images, digits.target, test_size=0.2, stratify=digits.target, random_state=0
    )
    return Data.of({"x_train": x_train, "y_train": y_train, "x_val": x_val, "y_val": y_val})
