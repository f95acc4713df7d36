"""`ridurre serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ridurre.cli.exits import errors_console, exit_codes
from ridurre.cli.literal import literal, literal_lines


def serve(
    host: Annotated[str, typer.Option(envvar="RIDURRE_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="RIDURRE_PORT", min=0, max=65_535, help="Port to listen on; 0 for any free port.")
    ] = 8470,
    data_directory: Annotated[
        Path, typer.Option(envvar="RIDURRE_DATA_DIRECTORY", help="Folder for jobs, models and results.")
    ] = Path("var"),
) -> None:
    """Run the service: Redis, the API and one worker. Press Ctrl-C to stop.

    Uses the Redis of RIDURRE_REDIS_URL or REDIS_URL, or starts an embedded one.
    """
    from ridurre.serve import ServeSettings, is_loopback
    from ridurre.serve import serve as run

    console = Console()
    if not is_loopback(host):
        errors_console.print(
            literal(f"Warning: the service has no authentication. Anyone who can reach {host} can use it.", "yellow")
        )
    with exit_codes():
        run(
            ServeSettings(host=host, port=port, data_directory=data_directory),
            lambda text: console.print(literal_lines(text), soft_wrap=True),
        )
