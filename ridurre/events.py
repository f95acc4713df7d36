"""Following a job's events over server-sent events, through broken connections."""

from __future__ import annotations

from httpx_sse import ServerSentEvent, SSEError

from ridurre.answers import parse
from ridurre.errors import UnexpectedAnswerError
from ridurre.objects import Event
from ridurre.patience import Outage, Patience

RECONNECT_SECONDS = 0.2

ConnectionLoss = SSEError | Outage


class EventReader:
    """Where one reader of events is, independent of how the bytes arrive.

    Attributes:
        cursor: Id of the last event seen; nothing before it is seen again.
        ended: Whether the terminal event was seen.
        polling: Whether the service, or something on the way to it, does not stream, so that long-polling has
            to do.
    """

    def __init__(self, after: str | None, patience: Patience) -> None:
        self.patience = patience
        self.cursor = after
        self.ended = False
        self.polling = False
        self._brought = False

    def headers(self) -> dict[str, str]:
        """Return the headers of the next connection, which goes on after the cursor."""
        self._brought = False
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.cursor is not None:
            headers["Last-Event-ID"] = self.cursor
        return headers

    def accept(self, message: ServerSentEvent) -> Event | None:
        """Return the event in a message; `None` for one without data, such as a keep-alive."""
        if not message.data:
            return None
        try:
            body = message.json()
        except ValueError as error:
            raise UnexpectedAnswerError("An event is not valid JSON.", received=message.data[:200]) from error
        return self.seen(parse(Event, body))

    def seen(self, event: Event) -> Event:
        """Move the cursor past an event."""
        self.cursor = event.id
        self.ended = event.terminal
        self.patience.restored()
        self._brought = True
        return event

    def lost(self, error: ConnectionLoss | None) -> float:
        """Return after how many seconds to connect again; `None` stands for a stream that just ended.

        Raises:
            ServiceUnreachableError, ServiceUnavailableError: No connection brought anything for too long.
        """
        # An answer that is no stream, or a stream that ends empty: ask the slow way, which also tells whether
        # the job is finished.
        if isinstance(error, SSEError) or (error is None and not self._brought):
            self.polling = True
            return 0.0
        return RECONNECT_SECONDS if error is None else self.patience.pause_after(error)
