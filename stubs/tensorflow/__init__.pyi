"""As much of TensorFlow as lets mypy see the attributes of Keras's layers, whose class derives from one of these."""

from typing import Any

class __internal__:
    class tracking:
        class AutoTrackable: ...

def __getattr__(name: str) -> Any: ...
