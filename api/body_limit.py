"""BodyLimit: no request body larger than its route can take.

FastAPI's own `max_body_size` answers in plain text; every error of ours is a problem document.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyTooLargeError(HTTPException):
    """A body over the limit. An HTTPException, because FastAPI hides any other while it reads a body."""

    def __init__(self, max_bytes: int, received: str) -> None:
        super().__init__(status_code=413, detail=f"The body has more than {max_bytes} bytes.")
        self.max_bytes = max_bytes
        self.received = received


class BodyLimit:
    """Counts a body as it is read, and refuses a declared length before reading anything."""

    def __init__(self, app: ASGIApp, max_bytes: int, max_bytes_by_path: dict[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_bytes_by_path = max_bytes_by_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._max_bytes_by_path.get(scope["path"], self._max_bytes)
        declared = Headers(scope=scope).get("content-length", "")
        num_bytes = 0

        async def receive_limited() -> Message:
            nonlocal num_bytes
            if declared.isdecimal() and int(declared[:20]) > max_bytes:
                raise BodyTooLargeError(max_bytes, f"{declared[:20]} bytes")
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > max_bytes:
                raise BodyTooLargeError(max_bytes, f"at least {num_bytes} bytes")
            return message

        await self._app(scope, receive_limited, send)
