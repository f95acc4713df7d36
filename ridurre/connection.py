"""Where the service is and how requests to it are made, for both clients."""

from __future__ import annotations

import os
from typing import Any

import httpx

from ridurre.errors import RidurreError
from ridurre.steps import Call

DEFAULT_URL = "http://127.0.0.1:8470"
TIMEOUT = httpx.Timeout(30.0, connect=10.0)


def base_url(url: str | None) -> str:
    """Return the given URL, else `RIDURRE_URL`, else the one that `ridurre serve` listens on.

    Raises:
        RidurreError: It is not an http or https URL.
    """
    chosen = (url or os.environ.get("RIDURRE_URL") or DEFAULT_URL).rstrip("/")
    if not chosen.startswith(("http://", "https://")):
        raise RidurreError(
            "That is not the URL of a service.",
            received=chosen,
            expected="http://HOST:PORT or https://HOST",
            hint="Give --url or RIDURRE_URL.",
        )
    return chosen


def request_arguments(call: Call) -> dict[str, Any]:
    """Return a call as arguments of `httpx.Client.build_request`, all but a file's bytes."""
    arguments: dict[str, Any] = {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params) or None,
        "headers": dict(call.headers),
    }
    if call.json is not None:
        arguments["json"] = call.json
    if call.file is not None:
        # Said in advance, so that the service can refuse a file that is too large before it is sent.
        arguments["headers"] |= {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(call.file.stat().st_size),
        }
    if call.timeout_seconds is not None:
        arguments["timeout"] = httpx.Timeout(call.timeout_seconds, connect=TIMEOUT.connect)
    return arguments
