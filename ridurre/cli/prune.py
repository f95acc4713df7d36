"""`ridurre prune`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from typer import Option

from ridurre.cli.exits import errors_console, exit_codes
from ridurre.cli.grouped import with_options
from ridurre.cli.literal import literal, literal_lines
from ridurre.cli.options import Model, Out, PruneOptions, Url
from ridurre.cli.progress import ProgressDisplay
from ridurre.cli.table import before_after
from ridurre.client import Client
from ridurre.errors import ConflictError, RidurreError
from ridurre.options import PruningOptions
from ridurre.outcome import default_target, naming_the_job
from ridurre.target import check_model_target


@with_options
def prune(
    model: Model,
    options: PruneOptions,
    out: Out = None,
    name: Annotated[str | None, Option(help="A label for the job.")] = None,
    url: Url = None,
    local: Annotated[bool, Option("--local", help="Prune in this process, without a service.")] = False,
) -> None:
    """Prune a model and show it before and after. Ctrl-C cancels the job."""
    pruning_options, training_options = options.for_pruning(), options.for_training()
    console, target = Console(), out or default_target(model)
    with exit_codes():
        overwritten = check_model_target(target).exists()
        if local:
            report = _locally(model, options.data, target, training_options, pruning_options, console)
        else:
            report = _on_service(url, model, options.data, target, name, training_options, pruning_options, console)
        console.print(before_after(report))
        for note in report.get("notes", ()):
            console.print(literal(f"Note: {note}"), soft_wrap=True)
        console.print(literal(f"{'Overwrote' if overwritten else 'Wrote'} {target}"), soft_wrap=True)


def _on_service(
    url: str | None,
    model: Path,
    data: str | None,
    target: Path,
    name: str | None,
    training: Mapping[str, Any],
    pruning: PruningOptions,
    console: Console,
) -> dict[str, Any]:
    with Client(url) as client:
        uploaded = client.upload_model(model)
        dataset = client.dataset(data)
        job = client.submit(uploaded, dataset, name=name, training=training, **pruning)
        console.print(literal(f"Job {job.id} on {client.url}"), soft_wrap=True)
        try:
            with ProgressDisplay(console) as display:
                job = client.wait(job.id, on_event=display.on_event, on_outage=display.on_outage)
        except KeyboardInterrupt:
            _cancel(client, job.id)
            raise
        job.raise_unless_succeeded()
        with naming_the_job(job.id):
            client.download(job.id, "pruned.keras", target)
            return client.report(job.id)


def _cancel(client: Client, job_id: str) -> None:
    try:
        client.cancel(job_id)
    except ConflictError:
        errors_console.print(literal(f"Interrupted; job {job_id} had already finished."), soft_wrap=True)
    except RidurreError as error:
        errors_console.print(
            literal_lines(f"Interrupted, but job {job_id} could not be cancelled: {error}"), soft_wrap=True
        )
        errors_console.print(literal(f"It goes on; to try again: ridurre cancel {job_id}"), soft_wrap=True)
    else:
        errors_console.print(literal(f"Interrupted; asked the service to cancel job {job_id}."), soft_wrap=True)


def _locally(
    model: Path,
    data: str | None,
    target: Path,
    training: Mapping[str, Any],
    pruning: PruningOptions,
    console: Console,
) -> dict[str, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it once, when it is imported

    from ridurre.local import prune as prune_locally

    with ProgressDisplay(console, is_local=True) as display:
        result = prune_locally(
            model, data, out=target, training=training, on_progress=display.on_local_progress, **pruning
        )
    report: dict[str, Any] = result.report.model_dump(mode="json")
    return report
