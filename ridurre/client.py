"""The blocking client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from ridurre import conversations
from ridurre.connection import TIMEOUT, base_url
from ridurre.objects import Event
from ridurre.steps import ConversationStep, Feed, Flow, Wire
from ridurre.talk import Talk, described

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(conversation: Callable[P, Flow[T]]) -> Callable[Concatenate[Client, P], T]:
    """Return the method that has a conversation to its end."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        talk = Talk(conversation(*args, **kwargs))
        for _ in self._converse(talk):
            pass
        return talk.value

    return described(method, conversation)


def _following(conversation: Callable[P, Feed[Event]]) -> Callable[Concatenate[Client, P], Iterator[Event]]:
    """Return the method that iterates over what a conversation tells."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Event]:
        return self._converse(Talk(conversation(*args, **kwargs)))

    return described(method, conversation, returns=Iterator[Event])


class Client:
    """A conversation with one service; use it as a context manager, or `close` it.

    Every method raises `ServiceUnreachableError` when nothing answers and a `ProblemError` when the service
    refuses.

    Args:
        url: Root of the service; default `RIDURRE_URL`, else `http://127.0.0.1:8470`.
        transport: How requests travel; for tests and unusual networks.
    """

    def __init__(self, url: str | None = None, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = base_url(url)
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    upload_model = _blocking(conversations.upload_model)
    upload_dataset = _blocking(conversations.upload_dataset)
    dataset = _blocking(conversations.dataset)
    submit = _blocking(conversations.submit)
    job = _blocking(conversations.job)
    jobs = _blocking(conversations.jobs)
    wait = _blocking(conversations.wait)
    events = _following(conversations.events)
    cancel = _blocking(conversations.cancel)
    delete = _blocking(conversations.delete)
    artifacts = _blocking(conversations.artifacts)
    download = _blocking(conversations.download)
    download_candidate = _blocking(conversations.download_candidate)
    download_candidates = _blocking(conversations.download_candidates)
    report = _blocking(conversations.report)
    prune = _blocking(conversations.prune)

    def _converse(self, talk: Talk[Any]) -> Iterator[Any]:
        """Take the steps of a conversation, and yield what it tells on the way."""
        with ExitStack() as streams, talk:
            wire = Wire(self.url, self._http, streams)
            for yielded in talk:
                if isinstance(yielded, ConversationStep):
                    with talk.taking():
                        talk.answer(yielded.take(wire))
                else:
                    yield yielded
