"""`ridurre jobs | status | cancel | download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ridurre.cli.candidates import compared
from ridurre.cli.exits import exit_codes
from ridurre.cli.literal import literal
from ridurre.cli.options import JobId, Url
from ridurre.cli.progress import describe, not_yet_all
from ridurre.client import Client
from ridurre.errors import JobUnfinishedError
from ridurre.objects import Artifact, Job
from ridurre.target import check_file_target, check_folder_target


def jobs(
    url: Url = None,
    status: Annotated[str | None, typer.Option(help="Show only jobs with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs.")] = 20,
) -> None:
    """List jobs, newest first."""
    with exit_codes(), Client(url) as client:
        table = Table(box=None)
        for heading in ("ID", "STATUS", "NAME", "CRITERION", "CREATED", "PROGRESS"):
            table.add_column(heading, overflow="fold", no_wrap=heading == "ID")  # ids are there to be copied
        for job in client.jobs(status, limit=limit):
            criterion = str(job.spec.get("pruning", {}).get("criterion", ""))
            created = "" if job.created_at is None else f"{job.created_at:%Y-%m-%d %H:%M:%S}"
            cells = (job.id, job.status, job.name or "", criterion, created, _progress(job))
            table.add_row(*map(literal, cells))
        Console().print(table)


def status(job_id: JobId, url: Url = None) -> None:
    """Show a job and its candidates. Exits with 1 if it failed or was cancelled."""
    with exit_codes(), Client(url) as client:
        job = client.job(job_id)
        console = Console()
        console.print(literal(f"{job.id}: {job.status}"), soft_wrap=True)
        if not job.finished and (progress := _progress(job)):
            console.print(literal(progress), soft_wrap=True)
        for name, value in (job.metrics or {}).items():
            console.print(literal(f"  {name}: {value}"), soft_wrap=True)
        if job.goal_met is False:
            console.print(literal(f"  goal missed: {job.stopped_because}"), soft_wrap=True)
        for artifact in job.artifacts:
            console.print(literal(f"  {artifact.name}: {artifact.size_bytes:,} bytes"), soft_wrap=True)
        if job.candidates:
            console.print(compared(client.report(job.id)))
        if job.finished:
            job.raise_unless_succeeded()


def cancel(job_id: JobId, url: Url = None) -> None:
    """Cancel a job."""
    with exit_codes(), Client(url) as client:
        job = client.cancel(job_id)
        Console().print(literal(f"{job.id}: {job.status}, cancel requested"), soft_wrap=True)


def download(
    job_id: JobId,
    name: Annotated[str | None, typer.Argument(help="An artifact, such as pruned.keras. Default: all results.")] = None,
    url: Url = None,
    out: Annotated[Path, typer.Option(help="File or folder to write to.")] = Path(),
    candidate: Annotated[
        str | None, typer.Option(help="Download the model of one candidate, by its name in the report.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Download the results and all candidates with their plans.")
    ] = False,
) -> None:
    """Download the results of a job and check their digests. Exits with 1 if the job did not succeed."""
    if sum((name is not None, candidate is not None, everything)) > 1:
        raise typer.BadParameter("Set only one of NAME, --candidate and --all.")
    with exit_codes(), Client(url) as client:
        is_one = name is not None or candidate is not None
        if not is_one and out.exists():
            check_folder_target(out)
        elif is_one and not out.is_dir():
            check_file_target(out)
        job, found = client.job(job_id), client.artifacts(job_id)
        wanted = [each.name for each in found if _is_wanted(each, name, candidate, everything)]
        if not wanted and not job.finished:
            raise JobUnfinishedError(job_id, job.status)
        if not wanted:
            job.raise_unless_succeeded()
        console = Console()
        if candidate is not None:
            console.print(literal(client.download_candidate(job_id, candidate, out)), soft_wrap=True)
        elif name is not None:
            console.print(literal(client.download(job_id, name, out)), soft_wrap=True)
        else:
            out.mkdir(parents=True, exist_ok=True)
            for each in wanted:
                console.print(literal(client.download(job_id, each, out)), soft_wrap=True)
        job.raise_unless_succeeded()


def _is_wanted(artifact: Artifact, name: str | None, candidate: str | None, everything: bool) -> bool:
    if name is not None:
        return artifact.name == name
    if candidate is not None:
        return artifact.candidate == candidate
    return everything or artifact.candidate is None


def _progress(job: Job) -> str:
    if job.progress is None or job.finished:
        return ""
    fraction = job.progress.fraction
    return describe(job.progress) + ("" if fraction is None else f" ({not_yet_all(fraction):.0%})")
