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

if TYPE_CHECKING:  # `as` tells type checkers that a name is public.
    from ridurre.async_client import AsyncClient as AsyncClient
    from ridurre.client import Client as Client
    from ridurre.errors import JobFailedError as JobFailedError
    from ridurre.errors import ProblemError as ProblemError
    from ridurre.errors import RidurreError as RidurreError
    from ridurre.errors import ServiceUnreachableError as ServiceUnreachableError
    from ridurre.local import prune as prune
    from ridurre.objects import Artifact as Artifact
    from ridurre.objects import Event as Event
    from ridurre.objects import Job as Job
    from ridurre.objects import Progress as Progress
    from ridurre.objects import Uploaded as Uploaded

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
