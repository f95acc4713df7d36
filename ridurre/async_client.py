"""The asynchronous client: the same methods as `Client`, to be awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from ridurre import conversations
from ridurre.connection import TIMEOUT, base_url
from ridurre.objects import Event
from ridurre.steps import AsyncWire, ConversationStep, Feed, Flow
from ridurre.talk import Talk, described

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(conversation: Callable[P, Flow[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """Return the method that has a conversation to its end."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        talk = Talk(conversation(*args, **kwargs))
        async for _ in self._converse(talk):
            pass
        return talk.value

    return described(method, conversation)


def _following(conversation: Callable[P, Feed[Event]]) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[Event]]:
    """Return the method that iterates over what a conversation tells."""

    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Event]:
        return self._converse(Talk(conversation(*args, **kwargs)))

    return described(method, conversation, returns=AsyncIterator[Event])


class AsyncClient:
    """A conversation with one service; use it as an asynchronous context manager, or `aclose` it.

    Methods, arguments and errors are those of `Client`.
    """

    def __init__(self, url: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = base_url(url)
        self._http = httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    upload_model = _awaited(conversations.upload_model)
    upload_dataset = _awaited(conversations.upload_dataset)
    dataset = _awaited(conversations.dataset)
    submit = _awaited(conversations.submit)
    job = _awaited(conversations.job)
    jobs = _awaited(conversations.jobs)
    wait = _awaited(conversations.wait)
    events = _following(conversations.events)
    cancel = _awaited(conversations.cancel)
    delete = _awaited(conversations.delete)
    artifacts = _awaited(conversations.artifacts)
    download = _awaited(conversations.download)
    download_candidate = _awaited(conversations.download_candidate)
    download_candidates = _awaited(conversations.download_candidates)
    report = _awaited(conversations.report)
    prune = _awaited(conversations.prune)

    async def _converse(self, talk: Talk[Any]) -> AsyncIterator[Any]:
        """Take the steps of a conversation, and yield what it tells on the way."""
        async with AsyncExitStack() as streams:
            wire = AsyncWire(self.url, self._http, streams)
            with talk:
                for yielded in talk:
                    if isinstance(yielded, ConversationStep):
                        with talk.taking():
                            talk.answer(await yielded.take_async(wire))
                    else:
                        yield yielded
