"""The steps a conversation with the service is made of.

A conversation is a generator that yields steps and is sent their results, so that it is written once and
driven by both clients: the blocking one and the asynchronous one differ only in how a step is taken.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from ridurre.download import Download

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One request; its result is an `httpx.Response` with a success status or 304.

    Attributes:
        file: Streamed as the raw body.
        json: Sent as the body if not `None`.
        timeout_seconds: Longest silence to accept; `None` for the client's own.
    """

    method: str
    path: str
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    file: Path | None = None
    timeout_seconds: float | None = None


@dataclass(frozen=True)
class Pause:
    """Do nothing for a while; its result is `None`."""

    seconds: float


@dataclass(frozen=True)
class Fetch:
    """Take one download to its end; its result is `None`."""

    download: Download


Flow: TypeAlias = Generator[Call | Pause | Fetch, Any, T]
