"""`ridurre prune`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer import Option

from ridurre.cli.candidates import compared, is_compared, nearest
from ridurre.cli.exits import ExitCode, errors_console, exit_codes
from ridurre.cli.grouped import with_options
from ridurre.cli.literal import literal, literal_lines
from ridurre.cli.options import Model, Out, PruneOptions, Url
from ridurre.cli.progress import ProgressDisplay
from ridurre.cli.quiet import load_keras
from ridurre.cli.table import before_after
from ridurre.client import Client
from ridurre.conversations.pruning import default_target, naming_the_job
from ridurre.errors import ConflictError, RidurreError
from ridurre.pruning_options import PruningOptions
from ridurre.target import check_model_target, check_new_folder


@dataclass(frozen=True)
class _Asked:
    """What is asked of a prune, here or on a service."""

    model: Path
    data: str | None
    pruning: PruningOptions
    training: Mapping[str, Any]
    target: Path
    candidates: Path | None


@with_options
def prune(
    model: Model,
    options: PruneOptions,
    out: Out = None,
    candidates: Annotated[
        Path | None, Option(help="Folder for all candidates, each with its plan.", file_okay=False)
    ] = None,
    name: Annotated[str | None, Option(help="Label of the job.")] = None,
    url: Url = None,
    local: Annotated[bool, Option("--local", help="Prune in this process, without a service.")] = False,
    resume: Annotated[
        Path | None,
        Option(
            help="With --local, folder for the state of the run; run the same command again to resume.", file_okay=False
        ),
    ] = None,
) -> None:
    """Prune a model and compare it before and after. Ctrl-C cancels the job.

    If no model meets all targets and --max-metric-drop, the closest is written and the exit code is 4.
    """
    if resume is not None and not local:
        raise typer.BadParameter("--resume needs --local. A service resumes interrupted jobs automatically.")
    target = out or default_target(model)
    asked = _Asked(model, options.data, options.for_pruning(), options.for_training(), target, candidates)
    console = Console()
    with exit_codes():
        overwritten = check_model_target(target).exists()
        if candidates is not None:
            check_new_folder(candidates)
        report = _locally(asked, resume, console) if local else _on_service(asked, url, name, console)
        console.print(before_after(report))
        if is_compared(report):
            console.print(compared(report))
        for note in report.get("notes", ()):
            console.print(literal(f"Note: {note}"), soft_wrap=True)
        console.print(literal(f"{'Overwrote' if overwritten else 'Wrote'} {target}"), soft_wrap=True)
        if not report.get("goal_met", True):
            errors_console.print(literal(f"Goal missed: {report['stopped_because']}.", "yellow"), soft_wrap=True)
            console.print(nearest(report))
            raise typer.Exit(ExitCode.GOAL_MISSED)


def _on_service(asked: _Asked, url: str | None, name: str | None, console: Console) -> dict[str, Any]:
    with Client(url) as client:
        uploaded = client.upload_model(asked.model)
        dataset = client.dataset(asked.data)
        job = client.submit(uploaded, dataset, name=name, training=asked.training, **asked.pruning)
        console.print(literal(f"Job {job.id} on {client.url}"), soft_wrap=True)
        try:
            with ProgressDisplay(console) as display:
                job = client.wait(job.id, on_event=display.on_event, on_outage=display.on_outage)
        except KeyboardInterrupt:
            _cancel(client, job.id)
            raise
        job.raise_unless_succeeded()
        with naming_the_job(job.id):
            client.download(job.id, "pruned.keras", asked.target)
            if asked.candidates is not None:
                client.download_candidates(job.id, asked.candidates)
            return client.report(job.id)


def _cancel(client: Client, job_id: str) -> None:
    try:
        client.cancel(job_id)
    except ConflictError:
        errors_console.print(literal(f"Interrupted. Job {job_id} was already finished."), soft_wrap=True)
    except RidurreError as error:
        errors_console.print(
            literal_lines(f"Interrupted, but job {job_id} could not be cancelled: {error}"), soft_wrap=True
        )
        errors_console.print(literal(f"The job continues. To try again: ridurre cancel {job_id}"), soft_wrap=True)
    else:
        errors_console.print(literal(f"Interrupted. Cancellation of job {job_id} requested."), soft_wrap=True)


def _locally(asked: _Asked, resume: Path | None, console: Console) -> dict[str, Any]:
    load_keras()
    from ridurre.local import prune as prune_locally

    with ProgressDisplay(console, is_local=True) as display:
        result = prune_locally(
            asked.model,
            asked.data,
            out=asked.target,
            training=asked.training,
            on_progress=display.on_local_progress,
            candidates_directory=asked.candidates,
            checkpoint_directory=resume,
            **asked.pruning,
        )
    report: dict[str, Any] = result.report.model_dump(mode="json")
    return report
