"""Fixtures for the client: both clients behind one blocking face, over a fake service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ridurre import AsyncClient, Client
from ridurre.objects import Event
from tests.ridurre.fake_service import FakeService

URL = "http://service.test"
Call = Callable[..., Any]


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture(params=["blocking", "asynchronous"])
def call(request: pytest.FixtureRequest, service: FakeService) -> Call:
    """Call a method of a client by name; each test runs with both clients."""

    def call_blocking(name: str, *args: Any, **kwargs: Any) -> Any:
        with Client(URL, transport=httpx.MockTransport(service)) as client:
            result = getattr(client, name)(*args, **kwargs)
            return list(result) if name == "events" else result

    async def call_asynchronous(name: str, *args: Any, **kwargs: Any) -> Any:
        async with AsyncClient(URL, transport=httpx.MockTransport(service.answer_async)) as client:
            if name == "events":
                events: list[Event] = [event async for event in client.events(*args, **kwargs)]
                return events
            return await getattr(client, name)(*args, **kwargs)

    if request.param == "blocking":
        return call_blocking
    return lambda name, *args, **kwargs: asyncio.run(call_asynchronous(name, *args, **kwargs))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries follow each other at once, on a clock on which the pauses were made all the same."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("ridurre.steps.time.sleep", slept.append)
    monkeypatch.setattr("ridurre.steps.anyio.sleep", sleep)
    monkeypatch.setattr("ridurre.patience.monotonic", lambda: time.monotonic() + sum(slept))
