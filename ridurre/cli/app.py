"""The command and its subcommands, as a visible table."""

from __future__ import annotations

import typer

from ridurre.cli import jobs, prune, serve

app = typer.Typer(
    name="ridurre",
    help="Structured pruning of Keras 3 models.\n\n"
    "Exit codes: 0 done; 1 the job failed or was cancelled; 2 bad usage or input; 3 the service is "
    "unreachable or cannot run; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command("serve")(serve.serve)
app.command("prune")(prune.prune)
app.command("jobs")(jobs.jobs)
app.command("status")(jobs.status)
app.command("cancel")(jobs.cancel)
app.command("download")(jobs.download)
