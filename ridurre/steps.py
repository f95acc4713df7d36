"""The steps a conversation with the service is made of.

A conversation is a generator that yields steps and is sent their results, so that it is written once for both
clients. Only here do they differ: each step says side by side how one client blocks and the other awaits.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import anyio
import httpx
from anyio.to_thread import run_sync
from httpx_sse import EventSource, SSEError

from ridurre.answers import raise_for_problem, unreachable
from ridurre.connection import TIMEOUT

T = TypeVar("T")
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Wire:
    """What a conversation of the blocking client goes over; `streams` holds the one that is open."""

    url: str
    http: httpx.Client
    streams: ExitStack


@dataclass(frozen=True)
class AsyncWire:
    """What a conversation of the asynchronous client goes over."""

    url: str
    http: httpx.AsyncClient
    streams: AsyncExitStack


class ConversationStep(ABC):
    """One thing that a conversation waits for."""

    @abstractmethod
    def take(self, wire: Wire) -> Any:
        """Block until it is done, and return its result."""

    @abstractmethod
    async def take_async(self, wire: AsyncWire) -> Any:
        """Await that it is done, and return its result."""


Flow: TypeAlias = Generator[ConversationStep, Any, T]
"""A conversation that returns a value."""
Feed: TypeAlias = Generator[ConversationStep | T, Any, None]
"""A conversation that tells of values on the way: what it yields and is no step."""


@dataclass(frozen=True)
class Call(ConversationStep):
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

    def take(self, wire: Wire) -> httpx.Response:
        arguments = self.arguments()
        with ExitStack() as stack, _naming(wire.url):
            if self.file is not None:
                arguments["content"] = stack.enter_context(self.file.open("rb"))
            response = wire.http.request(**arguments)
        raise_for_problem(response)
        return response

    async def take_async(self, wire: AsyncWire) -> httpx.Response:
        arguments = self.arguments()
        with _naming(wire.url):
            if self.file is not None:
                arguments["content"] = _chunks(self.file)
            response = await wire.http.request(**arguments)
        raise_for_problem(response)
        return response

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `httpx.Client.request`, all but a file's bytes."""
        arguments: dict[str, Any] = {
            "method": self.method,
            "url": self.path,
            "params": dict(self.params) or None,
            "headers": dict(self.headers),
        }
        if self.json is not None:
            arguments["json"] = self.json
        if self.file is not None:
            # Said in advance, so that the service can refuse a file that is too large before it is sent.
            arguments["headers"] |= {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(self.file.stat().st_size),
            }
        if self.timeout_seconds is not None:
            arguments["timeout"] = httpx.Timeout(self.timeout_seconds, connect=TIMEOUT.connect)
        return arguments


@dataclass(frozen=True)
class Stream:
    """An answer that is read as it comes.

    Attributes:
        response: Its head.
        parts: Its body in `bytes`, or in `ServerSentEvent`s.
    """

    response: httpx.Response
    parts: Any


@dataclass(frozen=True)
class Open(ConversationStep):
    """Make a request and wait for the head of its answer; its result is a `Stream`.

    The stream is open until the conversation opens another or ends.
    """

    call: Call
    as_events: bool = False

    def take(self, wire: Wire) -> Stream:
        with _naming(wire.url):
            wire.streams.close()
            response = wire.streams.enter_context(wire.http.stream(**self.call.arguments()))
            if not response.is_success:
                response.read()
        raise_for_problem(response)
        return Stream(response, EventSource(response).iter_sse() if self.as_events else response.iter_bytes())

    async def take_async(self, wire: AsyncWire) -> Stream:
        with _naming(wire.url):
            await wire.streams.aclose()
            response = await wire.streams.enter_async_context(wire.http.stream(**self.call.arguments()))
            if not response.is_success:
                await response.aread()
        raise_for_problem(response)
        return Stream(response, EventSource(response).aiter_sse() if self.as_events else response.aiter_bytes())


@dataclass(frozen=True)
class Next(ConversationStep):
    """Wait for the next part of a stream; its result is `None` at the end."""

    stream: Stream

    def take(self, wire: Wire) -> Any:
        parts: Iterator[Any] = self.stream.parts
        with _naming(wire.url):
            return next(parts, None)

    async def take_async(self, wire: AsyncWire) -> Any:
        parts: AsyncIterator[Any] = self.stream.parts
        with _naming(wire.url):
            return await anext(parts, None)


@dataclass(frozen=True)
class Pause(ConversationStep):
    """Do nothing for a while; its result is `None`."""

    seconds: float

    def take(self, wire: Wire) -> None:
        time.sleep(self.seconds)

    async def take_async(self, wire: AsyncWire) -> None:
        await anyio.sleep(self.seconds)


@dataclass(frozen=True)
class Work(ConversationStep):
    """Call a function that keeps the disk busy: the asynchronous client does not wait for it in its own thread."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()

    def take(self, wire: Wire) -> Any:
        return self.function(*self.arguments)

    async def take_async(self, wire: AsyncWire) -> Any:
        return await run_sync(self.function, *self.arguments)


@contextmanager
def _naming(url: str) -> Iterator[None]:
    """Say of a broken connection which service does not answer; a body that is no event stream is no such thing."""
    try:
        yield
    except SSEError:
        raise
    except httpx.TransportError as error:
        raise unreachable(url, error) from error


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while chunk := await file.read(CHUNK_BYTES):
            yield chunk
