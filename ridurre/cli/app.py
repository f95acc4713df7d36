"""The command and its subcommands, as a visible table."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from ridurre.cli import explain, export, jobs, plan, prune, serve

HELP = (
    "Structured pruning of Keras 3 models.\n\n"
    "Exit codes: 0 success; 1 the job failed, was cancelled or has no results yet; 2 invalid usage or input; 3 the "
    "service is unreachable or cannot run; 4 success, but the model misses a target or --max-metric-drop; "
    "130 interrupted."
)

app = typer.Typer(
    name="ridurre",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ridurre {version_of('ridurre')}")
        raise typer.Exit


def ridurre(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


app.callback(help=HELP)(ridurre)
app.command("serve")(serve.serve)
app.command("prune")(prune.prune)
app.command("plan")(plan.plan)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("jobs")(jobs.jobs)
app.command("status")(jobs.status)
app.command("cancel")(jobs.cancel)
app.command("download")(jobs.download)
