"""Options that several commands share, and the criteria as help and completion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pruning.catalog import CRITERIA

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="RIDURRE_URL", help="The service.", show_default="http://127.0.0.1:8470"),
]


def check_job_id(job_id: str) -> str:
    """Return the id; an empty one, as of an unset variable of the shell, is a usage error."""
    if not job_id.strip():
        raise typer.BadParameter(f"{job_id!r} is no id of a job; expected one such as job_…, see `ridurre jobs`.")
    return job_id


JobId = Annotated[str, typer.Argument(metavar="ID", help="A job's id, job_….", callback=check_job_id)]


def complete_criterion(incomplete: str) -> list[tuple[str, str]]:
    """Return the criteria that begin with what was typed, each with its summary."""
    return [(name, entry.summary) for name, entry in CRITERIA.items() if name.startswith(incomplete)]


def check_criterion(name: str) -> str:
    """Return the name of a criterion in the catalog; anything else is a usage error."""
    if name not in CRITERIA:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(CRITERIA)}.")
    return name


def parse_options(text: str) -> dict[str, Any]:
    """Return options given as JSON; anything but an object is a usage error."""
    try:
        options = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"that is not JSON: {error}.") from None
    if not isinstance(options, dict):
        raise typer.BadParameter("expected a JSON object such as '{\"seed\": 1}'.")
    return options


CRITERION_HELP = "What decides which channels stay: " + "  ".join(
    f"{name}: {entry.summary}" for name, entry in CRITERIA.items()
)

Model = Annotated[Path, typer.Argument(help="A .keras or .h5 file.", exists=True, dir_okay=False)]
Data = Annotated[str | None, typer.Option(help="An .npz file, a zip of images, a dataset's id, or `digits`.")]
Criterion = Annotated[
    str, typer.Option(help=CRITERION_HELP, autocompletion=complete_criterion, callback=check_criterion)
]
Pruning = Annotated[
    dict[str, Any] | None,
    typer.Option(
        parser=parse_options,
        metavar="<json>",
        help="Further pruning options, such as "
        '\'{"ratios": {"conv1.*": 0.2}, "target_latency": {"share": 0.5, "runtime": "litert"}}\'.',
    ),
]
Training = Annotated[
    dict[str, Any] | None,
    typer.Option(
        parser=parse_options,
        metavar="<json>",
        help="Further training options, such as "
        '\'{"optimizer": "adam", "max_train_samples": 5000, "augmentation": {"horizontal_flip": true}}\'.',
    ),
]
Out = Annotated[Path | None, typer.Option(help="Where the pruned model goes.", show_default="<model>.pruned.keras")]
