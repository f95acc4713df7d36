"""What a caller may ask: PruningSpec and TrainingSpec, used by library, jobs and API alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pruning.errors import SpecError
from pruning.field_errors import field_errors
from pruning.json_schema import JsonSchema
from pruning.spec.augmentation import Augmentation as Augmentation
from pruning.spec.exploration import BaselineMethod as BaselineMethod
from pruning.spec.exploration import Baselines as Baselines
from pruning.spec.exploration import Search as Search
from pruning.spec.exploration import Sweep as Sweep
from pruning.spec.pruning import LatencyTarget as LatencyTarget
from pruning.spec.pruning import PruningSpec as PruningSpec
from pruning.spec.pruning import WidthRatio as WidthRatio
from pruning.spec.training import Distillation as Distillation
from pruning.spec.training import KerasName as KerasName
from pruning.spec.training import NamedOptions as NamedOptions
from pruning.spec.training import Sparsity as Sparsity
from pruning.spec.training import TrainingSpec as TrainingSpec
from pruning.spec.values import EXTENT as EXTENT
from pruning.spec.values import MAX_PERCENT as MAX_PERCENT
from pruning.spec.values import SCHEDULES as SCHEDULES
from pruning.spec.values import TARGETS as TARGETS
from pruning.spec.values import Normalisation as Normalisation
from pruning.spec.values import Runtime as Runtime
from pruning.spec.values import Scope as Scope
from pruning.spec.values import Unit as Unit

Spec = TypeVar("Spec", bound=BaseModel)


def checked(kind: type[Spec], value: Any, field: str) -> Spec:
    """Return a spec given as one, or as a dict of its fields.

    Raises:
        SpecError: It does not allow what is given; the error names the first wrong field, and tells of all.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        wrong = field_errors(error.errors(), JsonSchema(kind.model_json_schema()), value)
        paths = [f"{field}.{each.field}" if each.field else field for each in wrong]
        raise SpecError(
            "\n".join(f"{path}: {each.detail}" for path, each in zip(paths, wrong, strict=True)),
            field=paths[0],
            received=wrong[0].received,
            expected=wrong[0].expected,
            hint=wrong[0].hint,
        ) from error


def with_fields(value: Any, fields: Mapping[str, Any]) -> Any:
    """Return what `checked` takes: a spec, given as one, as a dict of its fields or not at all, with more fields."""
    if value is None:
        return dict(fields)
    if isinstance(value, BaseModel) and fields:
        value = {name: getattr(value, name) for name in value.model_fields_set}
    return {**value, **fields} if isinstance(value, Mapping) else value
