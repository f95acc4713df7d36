"""`ridurre prune`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer import Option

from ridurre.cli.exits import errors_console, exit_codes
from ridurre.cli.literal import literal, literal_lines
from ridurre.cli.options import Criterion, Data, Model, Out, Pruning, Training, Url
from ridurre.cli.progress import ProgressDisplay
from ridurre.cli.table import before_after
from ridurre.client import Client
from ridurre.errors import ConflictError, RidurreError
from ridurre.options import PruningOptions
from ridurre.outcome import default_target, naming_the_job
from ridurre.target import check_model_target

# Which options of the command are which fields of the specs.
PRUNING_FIELDS = {
    "criterion": "criterion",
    "ratio": "ratio",
    "target_params": "target_params",
    "target_macs": "target_macs",
    "target_file_bytes": "target_file_bytes",
    "target_latency": "target_latency",
    "max_filters_removed": "max_filters_removed",
    "max_metric_drop": "max_metric_drop",
    "scope": "scope",
    "round_to": "round_to",
    "freeze": "freeze",
    "num_iterations": "iterations",
    "schedule": "schedule",
    "include": "include",
    "exclude": "exclude",
    "min_channels": "min_channels",
    "seed": "seed",
}
EXTENTS = {
    "ratio", "ratios", "ratios_by_width", "target_params", "target_macs", "target_file_bytes", "target_latency",
    "max_filters_removed",
}  # fmt: skip
TRAINING_FIELDS = ("epochs", "fine_tuning_epochs", "post_training_epochs", "batch_size", "learning_rate", "seed")


def prune(
    context: typer.Context,
    model: Model,
    data: Data = None,
    criterion: Criterion = "l1_norm",
    ratio: Annotated[float | None, Option(help="Fraction of each group's channels removed per iteration.")] = None,
    target_params: Annotated[float | None, Option(help="Most parameters left: a share, or a count.")] = None,
    target_macs: Annotated[float | None, Option(help="Most multiply-accumulates left: a share, or a count.")] = None,
    target_file_bytes: Annotated[float | None, Option(help="Largest file: a share, or bytes.")] = None,
    target_latency: Annotated[float | None, Option(help="Longest call: a share of the original's time.")] = None,
    max_filters_removed: Annotated[float | None, Option(help="Stop before more of all channels is removed.")] = None,
    max_metric_drop: Annotated[
        float | None, Option(help="Go back to the last model at most so much worse, such as 0.01 of accuracy.")
    ] = None,
    iterations: Annotated[int | None, Option(min=1, help="Prune and fine-tune this often at most.")] = None,
    schedule: Annotated[str | None, Option(help="constant, linear, exponential or one_shot.")] = None,
    scope: Annotated[str | None, Option(help="local, within each layer; or global, among all.")] = None,
    round_to: Annotated[int | None, Option(min=1, help="Leave multiples of so many channels, such as 8.")] = None,
    include: Annotated[list[str] | None, Option(help="Only layers that match; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, Option(help="Not layers that match; may be repeated.")] = None,
    freeze: Annotated[list[str] | None, Option(help="Neither prune nor train what matches; may be repeated.")] = None,
    min_channels: Annotated[int | None, Option(min=1, help="Never leave a layer with fewer.")] = None,
    epochs: Annotated[int | None, Option(min=0, help="Training before the first prune.")] = None,
    fine_tuning_epochs: Annotated[int | None, Option(min=0, help="After each prune.")] = None,
    post_training_epochs: Annotated[int | None, Option(min=0, help="After the last iteration.")] = None,
    batch_size: Annotated[int | None, Option(min=1, help="Samples per training step.")] = None,
    learning_rate: Annotated[float | None, Option(help="Peak; default: the compiled model's.")] = None,
    seed: Annotated[int | None, Option(min=0, help="For pruning and training.")] = None,
    pruning: Pruning = None,
    training: Training = None,
    out: Out = None,
    name: Annotated[str | None, Option(help="A label for the job.")] = None,
    url: Url = None,
    local: Annotated[bool, Option("--local", help="Prune in this process, without a service.")] = False,
) -> None:
    """Prune a model and show it before and after. Ctrl-C cancels the job."""
    given_options = {name: value for name, value in context.params.items() if value not in (None, [], ())}
    pruning_options: PruningOptions = (pruning or {}) | {  # type: ignore[assignment]
        field: given_options[option] for field, option in PRUNING_FIELDS.items() if option in given_options
    }
    if not pruning_options.keys() & EXTENTS:
        raise typer.BadParameter(
            "Say how far to go: give --ratio, --target-params, another --target or --max-filters-removed."
        )
    training_options = (training or {}) | {
        field: given_options[field] for field in TRAINING_FIELDS if field in given_options
    }
    console, target = Console(), out or default_target(model)
    with exit_codes():
        overwritten = check_model_target(target).exists()
        if local:
            report = _locally(model, data, target, training_options, pruning_options, console)
        else:
            report = _on_service(url, model, data, target, name, training_options, pruning_options, console)
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

    with ProgressDisplay(console) as display:
        result = prune_locally(
            model, data, out=target, training=training, on_progress=display.on_local_progress, **pruning
        )
    report: dict[str, Any] = result.report.model_dump(mode="json")
    return report
