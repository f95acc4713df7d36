"""Ridurre: structured pruning of Keras 3 models, as a library and as a service.

    prune(model, data, …)      here and now, through the `pruning` library
    Client, AsyncClient        on a service: upload, submit, follow, download
    Job, Event, Artifact, …    what the service answers
    RidurreError               whatever goes wrong, with what came, what was expected and how to fix it

The names are imported on first use, and nothing here loads Keras, TensorFlow, NumPy or scikit-learn
before `prune` is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ridurre.async_client import AsyncClient
    from ridurre.client import Client
    from ridurre.errors import JobFailedError, ProblemError, RidurreError, ServiceUnreachableError
    from ridurre.local import prune
    from ridurre.objects import Artifact, Event, Job, Progress, Uploaded

_HOMES = {
    "Artifact": "ridurre.objects",
    "AsyncClient": "ridurre.async_client",
    "Client": "ridurre.client",
    "Event": "ridurre.objects",
    "Job": "ridurre.objects",
    "JobFailedError": "ridurre.errors",
    "ProblemError": "ridurre.errors",
    "Progress": "ridurre.objects",
    "RidurreError": "ridurre.errors",
    "ServiceUnreachableError": "ridurre.errors",
    "Uploaded": "ridurre.objects",
    "prune": "ridurre.local",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
