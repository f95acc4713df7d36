"""Where the service is, and how long to wait for it."""

from __future__ import annotations

import os

import httpx

from ridurre.errors import RidurreError

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
            "The URL of the service is invalid.",
            received=chosen,
            expected="http://HOST:PORT or https://HOST",
            hint="Set --url or RIDURRE_URL.",
        )
    return chosen
