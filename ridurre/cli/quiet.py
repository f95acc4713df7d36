"""Keras, loaded without what its backend's libraries write to the terminal."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2


def load_keras() -> None:
    """Import Keras and use it once; what libraries write to stderr meanwhile is shown only if that fails.

    TensorFlow's C++ libraries write lines at import and at the first operation that no variable turns off.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _held_back():
        import keras

        keras.ops.zeros(1)


@contextmanager
def _held_back() -> Iterator[None]:
    sys.stderr.flush()
    terminal = os.dup(_STDERR)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, _STDERR)
            os.close(terminal)
