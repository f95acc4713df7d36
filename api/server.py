"""Running the API as a process of its own."""

from __future__ import annotations

from jobs.settings import Settings

SHUTDOWN_SECONDS = 5


def run(settings: Settings) -> None:
    """Serve the API on the host and port of the settings until SIGTERM or SIGINT."""
    import uvicorn

    from api.app import create_app

    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,  # a stream of events would hold the server up for ever
    )
