"""`ridurre prune`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ridurre.cli.exits import errors_console, exit_codes
from ridurre.cli.options import CRITERION_HELP, Url, check_criterion, complete_criterion
from ridurre.cli.progress import ProgressDisplay
from ridurre.cli.table import before_after
from ridurre.client import Client
from ridurre.errors import ConflictError
from ridurre.options import PruningOptions, given
from ridurre.outcome import default_target


def prune(
    model: Annotated[Path, typer.Argument(help="The .keras or .h5 file to prune.", exists=True, dir_okay=False)],
    data: Annotated[
        str | None, typer.Option(help="An .npz file, a zip of images, a dataset's id, or `digits`.")
    ] = None,
    criterion: Annotated[
        str, typer.Option(help=CRITERION_HELP, autocompletion=complete_criterion, callback=check_criterion)
    ] = "l1_norm",
    ratio: Annotated[
        float | None, typer.Option(help="Fraction of each group's channels removed per iteration.")
    ] = None,
    target_params: Annotated[float | None, typer.Option(help="Stop at this share of the parameters left.")] = None,
    max_filters_removed: Annotated[
        float | None, typer.Option(help="Stop before a larger share of all prunable channels is removed.")
    ] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Prune and fine-tune this often at most.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="How the ratio develops: constant, linear, exponential or one_shot.")
    ] = None,
    include: Annotated[list[str] | None, typer.Option(help="Only layers that match; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Not layers that match; may be repeated.")] = None,
    min_channels: Annotated[int | None, typer.Option(min=1, help="Never leave a layer with fewer.")] = None,
    epochs: Annotated[int | None, typer.Option(min=0, help="Training before the first prune.")] = None,
    fine_tuning_epochs: Annotated[int | None, typer.Option(min=0, help="After each prune.")] = None,
    post_training_epochs: Annotated[int | None, typer.Option(min=0, help="After the last iteration.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples per training step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak; default: the compiled model's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="For pruning and training.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the pruned model goes.", show_default="<model>.pruned.keras")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A label for the job.")] = None,
    url: Url = None,
    local: Annotated[bool, typer.Option("--local", help="Prune in this process, without a service.")] = False,
) -> None:
    """Prune a model and show it before and after. Ctrl-C cancels the job."""
    pruning: PruningOptions = given(  # type: ignore[assignment]
        {
            "criterion": criterion,
            "ratio": ratio,
            "target_params": target_params,
            "max_filters_removed": max_filters_removed,
            "num_iterations": iterations,
            "schedule": schedule,
            "include": include or None,
            "exclude": exclude or None,
            "min_channels": min_channels,
            "seed": seed,
        }
    )
    training = given(
        {
            "epochs": epochs,
            "fine_tuning_epochs": fine_tuning_epochs,
            "post_training_epochs": post_training_epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
        }
    )
    console = Console()
    target = out or default_target(model)
    with exit_codes():
        if local:
            report = _locally(model, data, target, training, pruning, console)
        else:
            report = _on_service(url, model, data, target, name, training, pruning, console)
        console.print(before_after(report))
        console.print(f"Wrote {target}", soft_wrap=True, highlight=False)


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
        console.print(f"Job {job.id} on {client.url}", highlight=False, soft_wrap=True)
        try:
            with ProgressDisplay(console) as display:
                job = client.wait(job.id, on_event=display.on_event)
        except KeyboardInterrupt:
            _cancel(client, job.id)
            raise
        job.raise_unless_succeeded()
        client.download(job.id, "pruned.keras", target)
        return client.report(job.id)


def _cancel(client: Client, job_id: str) -> None:
    try:
        client.cancel(job_id)
    except ConflictError:
        errors_console.print(f"Interrupted; job {job_id} had already finished.", highlight=False)
    else:
        errors_console.print(f"Interrupted; asked the service to cancel job {job_id}.", highlight=False)


def _locally(
    model: Path,
    data: str | None,
    target: Path,
    training: Mapping[str, Any],
    pruning: PruningOptions,
    console: Console,
) -> dict[str, Any]:
    from ridurre.local import prune as prune_locally

    with ProgressDisplay(console) as display:
        result = prune_locally(
            model, data, out=target, training=training, on_progress=display.on_local_progress, **pruning
        )
    report: dict[str, Any] = result.report.model_dump(mode="json")
    return report
