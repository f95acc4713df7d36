"""Options that several commands share, and the criteria as help and completion."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from pruning.catalog import AUTO, CRITERIA
from ridurre.options import PruningOptions

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
    if name not in (AUTO, *CRITERIA):
        raise typer.BadParameter(f"{name!r} is not one of {', '.join([AUTO, *CRITERIA])}.")
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


CRITERION_HELP = "What decides which channels stay; auto: by what data there is.  " + "  ".join(
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

# Which options of the command are which fields of the specs.
PRUNING_FIELDS = {
    "criterion": "criterion",
    "ratio": "ratio",
    "target_params": "target_params",
    "target_macs": "target_macs",
    "target_file_bytes": "target_file_bytes",
    "target_latency": "target_latency",
    "runtimes": "runtime",
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


@dataclass(frozen=True)
class PruneOptions:
    """What to prune with, how far, and how to train around it."""

    data: Data = None
    criterion: Criterion = AUTO
    ratio: Annotated[float | None, Option(help="Fraction of each group's channels removed per iteration.")] = None
    target_params: Annotated[float | None, Option(help="Most parameters left: a share such as 0.4, or a count.")] = None
    target_macs: Annotated[float | None, Option(help="Most MACs left: a share such as 0.4, or a count.")] = None
    target_file_bytes: Annotated[float | None, Option(help="Largest file: a share, or bytes.")] = None
    target_latency: Annotated[float | None, Option(help="Longest call: a share of the original's time.")] = None
    runtime: Annotated[
        list[str] | None, Option(help="Time before and after there too: litert, onnx, …; may be repeated.")
    ] = None
    max_filters_removed: Annotated[float | None, Option(help="Stop before more of all channels is removed.")] = None
    max_metric_drop: Annotated[
        float | None, Option(help="Go back to the last model at most so much worse, such as 0.01 of accuracy.")
    ] = None
    iterations: Annotated[int | None, Option(min=1, help="Prune and fine-tune this often at most.")] = None
    schedule: Annotated[str | None, Option(help="constant, linear, exponential or one_shot.")] = None
    scope: Annotated[str | None, Option(help="local, within each layer; or global, among all.")] = None
    round_to: Annotated[int | None, Option(min=1, help="Leave multiples of so many channels, such as 8.")] = None
    include: Annotated[list[str] | None, Option(help="Only layers that match; may be repeated.")] = None
    exclude: Annotated[list[str] | None, Option(help="Not layers that match; may be repeated.")] = None
    freeze: Annotated[list[str] | None, Option(help="Neither prune nor train what matches; may be repeated.")] = None
    min_channels: Annotated[int | None, Option(min=1, help="Never leave a layer with fewer.")] = None
    epochs: Annotated[int | None, Option(min=0, help="Training before the first prune.")] = None
    fine_tuning_epochs: Annotated[int | None, Option(min=0, help="After each prune.")] = None
    post_training_epochs: Annotated[int | None, Option(min=0, help="After the last iteration.")] = None
    batch_size: Annotated[int | None, Option(min=1, help="Samples per training step.")] = None
    learning_rate: Annotated[float | None, Option(help="Peak; default: the compiled model's.")] = None
    seed: Annotated[int | None, Option(min=0, help="For pruning and training.")] = None
    pruning: Pruning = None
    training: Training = None

    def for_pruning(self) -> PruningOptions:
        """Return what was given of the fields of `PruningSpec`; without an extent that is a usage error."""
        options: PruningOptions = (self.pruning or {}) | {  # type: ignore[assignment]
            field: value
            for field, option in PRUNING_FIELDS.items()
            if (value := getattr(self, option)) not in (None, [])
        }
        if not options.keys() & EXTENTS:
            raise typer.BadParameter(
                "Say how far to go: give --ratio, --target-params, another --target or --max-filters-removed."
            )
        return options

    def for_training(self) -> dict[str, Any]:
        """Return what was given of the fields of `TrainingSpec`."""
        given = {name: value for name in TRAINING_FIELDS if (value := getattr(self, name)) is not None}
        return (self.training or {}) | given
