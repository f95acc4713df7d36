"""What is checked of a spec when it is submitted, beyond the value of each field."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.errors import NotFoundError
from jobs.record import DatasetRecord, ModelRecord
from jobs.spec import BUILTIN_DATASETS, EPOCH_FIELDS, JobSpec
from jobs.stores.base import JobStore
from jobs.stores.refusals import missing_input
from pruning.catalog import CRITERIA
from pruning.errors import SpecError
from pruning.patterns import matches_any

LAYERS_SHOWN = 8


def check_submission(spec: JobSpec, store: JobStore) -> None:
    """Raise `SpecError` for a spec that cannot succeed with the uploads it names."""
    try:
        model = store.get_input(ModelRecord, spec.model)
    except NotFoundError:
        raise missing_input("model", spec.model) from None
    if model.layers is not None:
        _check_patterns(spec, model.layers)
    if spec.dataset is None:
        _check_without_data(spec)
    elif spec.dataset not in BUILTIN_DATASETS:
        try:
            dataset = store.get_input(DatasetRecord, spec.dataset)
        except NotFoundError:
            raise missing_input("dataset", spec.dataset) from None
        if not dataset.labelled:
            _check_without_targets(spec, "a dataset with targets")


def _check_patterns(spec: JobSpec, layers: Sequence[str]) -> None:
    fields = spec.pruning.patterns
    for name, patterns in fields.items():
        for pattern in patterns:
            if not matches_any([pattern], layers):
                shown = ", ".join(layers[:LAYERS_SHOWN])
                more = f" and {len(layers) - LAYERS_SHOWN} more" if len(layers) > LAYERS_SHOWN else ""
                raise SpecError(
                    f"The pattern {pattern!r} does not match any layer of the model.",
                    field=f"pruning.{name}",
                    received=pattern,
                    expected="a regular expression that matches the whole path of at least one layer",
                    hint=f"The model's layers are {shown}{more}.",
                )


def _check_without_data(spec: JobSpec) -> None:
    criteria = spec.pruning.resolved(has_data=False, has_targets=False).criteria
    looking = [name for name in criteria if CRITERIA[name].needs_data]
    if looking:
        raise SpecError(
            f"The criterion {looking[0]} needs data.",
            field="dataset",
            received="no dataset",
            expected=f"the id of an uploaded dataset, or one of {', '.join(BUILTIN_DATASETS)}",
            hint="Set a dataset, or choose a criterion that does not need data.",
        )
    if spec.pruning.scope == "sensitivity":
        raise SpecError(
            "The scope sensitivity needs data.",
            field="dataset",
            received="no dataset",
            expected=f"the id of an uploaded dataset, or one of {', '.join(BUILTIN_DATASETS)}",
            hint="Set a dataset, or choose the scope local or global.",
        )
    _check_without_targets(spec, "a dataset")


def _check_without_targets(spec: JobSpec, missing: str) -> None:
    if spec.pruning.max_metric_drop is not None:
        raise SpecError(
            f"max_metric_drop needs {missing}.",
            field="pruning.max_metric_drop",
            received=f"{spec.pruning.max_metric_drop:g} without {missing}",
            expected=f"{missing} for the metric",
        )
    for name in EPOCH_FIELDS:
        if getattr(spec.training, name) not in (0, "auto"):
            raise SpecError(
                f"Training needs {missing}.",
                field=f"training.{name}",
                received=str(getattr(spec.training, name)),
                expected=f"0 without {missing}",
                hint=f"Use {missing}, or set training.{name} to 0.",
            )
