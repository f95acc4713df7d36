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


def listed(text: str) -> list[Any]:
    """Return what is written with commas; numbers as such."""
    return [_number_or_text(each.strip()) for each in text.split(",") if each.strip()]


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def check_criteria(names: str | None) -> str | None:
    """Return names of criteria in the catalog, with commas; anything else is a usage error."""
    for name in listed(names or ""):
        check_criterion(str(name))
    return names


def check_numbers(numbers: str | None) -> str | None:
    """Return numbers with commas; anything else is a usage error."""
    for number in listed(numbers or ""):
        if not isinstance(number, float):
            raise typer.BadParameter(f"{number!r} is not a number; expected some such as 0.6,0.4.")
    return numbers


def epochs(text: str) -> int | str:
    """Return a number of epochs or `auto`; anything else is a usage error."""
    if text == "auto" or text.isdecimal():
        return text if text == "auto" else int(text)
    raise typer.BadParameter(f"{text!r} is neither auto nor a number of epochs.")


CRITERION_HELP = "What decides which channels stay; auto: by what data there is.  " + "  ".join(
    f"{name}: {entry.summary}" for name, entry in CRITERIA.items()
)

Model = Annotated[Path, typer.Argument(help="A .keras or .h5 file.", exists=True, dir_okay=False)]
Data = Annotated[
    str | None,
    typer.Option(
        help="An .npz file, a zip of images, a dataset's id, or `digits`; in this process also a folder of images."
    ),
]
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
# The same for fields of fields; lists are given with commas.
NESTED_FIELDS = {
    "sweep": {"criteria": "sweep_criteria", "sizes": "sweep_sizes"},
    "search": {"max_trials": "search_trials", "max_epochs": "search_epochs", "max_minutes": "search_minutes"},
    "baselines": {"methods": "baselines"},
}
EXTENTS = {
    "ratio", "ratios", "ratios_by_width", "target_params", "target_macs", "target_file_bytes", "target_latency",
    "max_filters_removed", "max_metric_drop",
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
        float | None,
        Option(
            help="Deliver a model at most so much worse, such as 0.01 of accuracy; without a size, search for the "
            "smallest such model."
        ),
    ] = None
    sweep_criteria: Annotated[
        str | None, Option(help="Try several criteria, such as l1_norm,taylor.", callback=check_criteria)
    ] = None
    sweep_sizes: Annotated[
        str | None,
        Option(help="Try several sizes, as shares of MACs that are left, such as 0.6,0.4.", callback=check_numbers),
    ] = None
    search_trials: Annotated[int | None, Option(help="Sizes that a search for the smallest model tries.")] = None
    search_epochs: Annotated[int | None, Option(help="Epochs after which such a search ends.")] = None
    search_minutes: Annotated[float | None, Option(help="Minutes after which such a search ends.")] = None
    baselines: Annotated[
        str | None, Option(help="Models to compare with, such as random,uniform_l1,from_scratch; never delivered.")
    ] = None
    iterations: Annotated[int | None, Option(min=1, help="Prune and fine-tune this often at most.")] = None
    schedule: Annotated[str | None, Option(help="constant, linear, exponential or one_shot.")] = None
    scope: Annotated[str | None, Option(help="local, within each layer; global, among all; or sensitivity.")] = None
    round_to: Annotated[int | None, Option(min=1, help="Leave multiples of so many channels, such as 8.")] = None
    include: Annotated[list[str] | None, Option(help="Only layers that match; may be repeated.")] = None
    exclude: Annotated[list[str] | None, Option(help="Not layers that match; may be repeated.")] = None
    freeze: Annotated[list[str] | None, Option(help="Neither prune nor train what matches; may be repeated.")] = None
    min_channels: Annotated[int | None, Option(min=1, help="Never leave a layer with fewer.")] = None
    epochs: Annotated[int | None, Option(min=0, help="Training before the first prune.")] = None
    fine_tuning_epochs: Annotated[
        str | None,
        Option(help="After each prune; auto, what data and removed share need.", metavar="<auto|int>", parser=epochs),
    ] = None
    post_training_epochs: Annotated[int | None, Option(min=0, help="After the last iteration.")] = None
    batch_size: Annotated[int | None, Option(min=1, help="Samples per training step.")] = None
    learning_rate: Annotated[float | None, Option(help="Peak; default: the compiled model's.")] = None
    seed: Annotated[int | None, Option(min=0, help="For pruning and training.")] = None
    pruning: Pruning = None
    training: Training = None

    def for_pruning(self) -> PruningOptions:
        """Return what was given of the fields of `PruningSpec`; without an extent that is a usage error."""
        further = self.pruning or {}
        options: PruningOptions = further | {  # type: ignore[assignment]
            field: value
            for field, option in PRUNING_FIELDS.items()
            if (value := getattr(self, option)) not in (None, [])
        }
        for field, inner in NESTED_FIELDS.items():
            given = {name: value for name, option in inner.items() if (value := getattr(self, option)) is not None}
            given = {name: listed(value) if isinstance(value, str) else value for name, value in given.items()}
            if given:
                options[field] = (further.get(field) or {}) | given  # type: ignore[literal-required]
        if not options.keys() & EXTENTS and not (options.get("sweep") or {}).get("sizes"):
            raise typer.BadParameter(
                "Say how far to go: give --ratio, --target-params, another --target or --max-filters-removed; or "
                "--max-metric-drop, for the smallest model within it; or --sweep-sizes."
            )
        return options

    def for_training(self) -> dict[str, Any]:
        """Return what was given of the fields of `TrainingSpec`."""
        given = {name: value for name in TRAINING_FIELDS if (value := getattr(self, name)) is not None}
        return (self.training or {}) | given
