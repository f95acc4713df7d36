"""Options that several commands share, and the criteria as help and completion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from pruning.catalog import AUTO, CRITERIA
from pruning.spec import PruningSpec, TrainingSpec
from ridurre.pruning_options import PruningOptions
from ridurre.spec_options import SpecOption, spec_options

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="RIDURRE_URL", help="URL of the service.", show_default="http://127.0.0.1:8470"),
]


def check_job_id(job_id: str) -> str:
    """Return the id; an empty one, as of an unset variable of the shell, is a usage error."""
    if not job_id.strip():
        raise typer.BadParameter(
            f"{job_id!r} is not a job id. Expected one such as job_…; run `ridurre jobs` to list them."
        )
    return job_id


JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of a job, job_….", callback=check_job_id)]


def complete_criterion(incomplete: str) -> list[tuple[str, str]]:
    """Return the criteria that begin with what was typed, each with its summary."""
    return [(name, entry.summary) for name, entry in CRITERIA.items() if name.startswith(incomplete)]


def check_criterion(name: str | None) -> str | None:
    """Return the name of a criterion in the catalog; anything else is a usage error."""
    if name is not None and name not in (AUTO, *CRITERIA):
        raise typer.BadParameter(f"{name!r} is not one of {', '.join([AUTO, *CRITERIA])}.")
    return name


def parse_options(text: str) -> dict[str, Any]:
    """Return options given as JSON; anything but an object is a usage error."""
    try:
        options = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"This is not valid JSON: {error}.") from None
    if not isinstance(options, dict):
        raise typer.BadParameter("Expected a JSON object such as '{\"seed\": 1}'.")
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
            raise typer.BadParameter(f"{number!r} is not a number. Expected numbers such as 0.6,0.4.")
    return numbers


CRITERION_HELP = "How to choose the channels to keep. auto: depends on the data.  " + "  ".join(
    f"{name}: {entry.summary}" for name, entry in CRITERIA.items()
)

Model = Annotated[Path, typer.Argument(help="A .keras or .h5 file.", exists=True, dir_okay=False)]
Data = Annotated[
    str | None,
    typer.Option(
        help="An .npz file, a zip of images, the id of a dataset, or `digits`; locally also a folder of images."
    ),
]
Criterion = Annotated[
    str | None,
    typer.Option(help=CRITERION_HELP, autocompletion=complete_criterion, callback=check_criterion, show_default=AUTO),
]
Pruning = Annotated[
    dict[str, Any] | None,
    typer.Option(
        parser=parse_options,
        metavar="<json>",
        help="More pruning options, as JSON, such as "
        '\'{"ratios": {"conv1.*": 0.2}, "target_latency": {"share": 0.5, "runtime": "litert"}}\'.',
    ),
]
Training = Annotated[
    dict[str, Any] | None,
    typer.Option(
        parser=parse_options,
        metavar="<json>",
        help="More training options, as JSON, such as "
        '\'{"optimizer": "adam", "max_train_samples": 5000, "augmentation": {"horizontal_flip": true}}\'.',
    ),
]
Out = Annotated[Path | None, typer.Option(help="Path of the pruned model.", show_default="<model>.pruned.keras")]

PRUNING, TRAINING = spec_options(PruningSpec, "What to prune"), spec_options(TrainingSpec, "How to train")
EXTENTS = {
    "ratio", "ratios", "ratios_by_width", "target_params", "target_macs", "target_file_bytes", "target_latency",
    "max_filters_removed", "max_metric_drop",
}  # fmt: skip
OWN: dict[str, Any] = {
    "criterion": Criterion,
    "sweep_criteria": Annotated[
        str | None, Option(help="Criteria to try, such as l1_norm,taylor.", callback=check_criteria)
    ],
    "sweep_sizes": Annotated[
        str | None, Option(help="Sizes to try, as fractions to keep, such as 0.6,0.4.", callback=check_numbers)
    ],
}
"""Options that do more than their field says."""


class Asked:
    """What to prune with, how far, and how to train around it; `PruneOptions` has a field for each option."""

    data: str | None
    pruning: dict[str, Any] | None
    training: dict[str, Any] | None

    def for_pruning(self) -> PruningOptions:
        """Return what was given of the fields of `PruningSpec`; without an extent that is a usage error."""
        unknown = sorted((self.pruning or {}).keys() - PruningSpec.model_fields.keys())
        if unknown:
            fields = ", ".join(PruningSpec.model_fields)
            raise typer.BadParameter(f"Unknown pruning field {unknown[0]!r}. Expected one of {fields}.")
        options: PruningOptions = self._given(PRUNING, self.pruning)  # type: ignore[assignment]
        sweep = options.get("sweep")
        if not options.keys() & EXTENTS and not (isinstance(sweep, Mapping) and sweep.get("sizes")):
            raise typer.BadParameter(
                "Set at least one of --ratio, --target-params, another --target and --max-filters-removed; or "
                "--max-metric-drop, to search for the smallest model within it; or --sweep-sizes."
            )
        return options

    def for_training(self) -> dict[str, Any]:
        """Return what was given of the fields of `TrainingSpec`."""
        return self._given(TRAINING, self.training)

    def _given(self, options: list[SpecOption], further: Mapping[str, Any] | None) -> dict[str, Any]:
        given: dict[str, Any] = dict(further or {})
        for option in options:
            value = getattr(self, option.name)
            if value is None or value == []:
                continue
            field, *inner = option.path
            if inner:
                known = given.get(field)
                value = listed(value) if option.is_list else value
                value = {**(known if isinstance(known, Mapping) else {}), inner[0]: value}
            given[field] = value
        return given


def _fields() -> list[tuple[str, Any, Any]]:
    """Return name, annotation and default of each option; a field that both specs have is one option."""
    options: dict[str, Any] = {"data": Data}
    for option in [*PRUNING, *TRAINING]:
        options.setdefault(option.name, OWN.get(option.name, option.annotation))
    options |= {"pruning": Pruning, "training": Training}
    return [(name, annotation, field(default=None)) for name, annotation in options.items()]


if TYPE_CHECKING:
    PruneOptions = Asked
else:
    PruneOptions = make_dataclass("PruneOptions", _fields(), bases=(Asked,), frozen=True)
