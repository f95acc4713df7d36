"""Why a model that came from a file has no loss, where the file has one."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import keras

_REASONS: WeakKeyDictionary[keras.Model, str] = WeakKeyDictionary()


def tell_lost_loss(model: keras.Model, why: str) -> None:
    """Keep in mind what became of the loss of a model's file."""
    _REASONS[model] = why


def lost_loss(model: keras.Model) -> str | None:
    """Return what became of the loss of a model's file, to begin a sentence with; `None` where none was lost."""
    return _REASONS.get(model)
