"""Structured pruning for Keras 3: a model in, a smaller verified model out.

The names below are imported on first use, so that `pruning.spec`, `pruning.plan`, `pruning.catalog` and
`pruning.errors` can be used where Keras must not be loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `as` tells type checkers that a name is public.
    from pruning.criteria.base import Channels as Channels
    from pruning.criteria.base import Criterion as Criterion
    from pruning.criteria.base import DataCriterion as DataCriterion
    from pruning.criteria.base import ScoreCriterion as ScoreCriterion
    from pruning.datasets.data import Data as Data
    from pruning.errors import CheckpointError as CheckpointError
    from pruning.errors import CriterionError as CriterionError
    from pruning.errors import DataError as DataError
    from pruning.errors import ExportError as ExportError
    from pruning.errors import InfeasibleError as InfeasibleError
    from pruning.errors import ModelError as ModelError
    from pruning.errors import NothingToPruneError as NothingToPruneError
    from pruning.errors import PlanError as PlanError
    from pruning.errors import PruningError as PruningError
    from pruning.errors import SpecError as SpecError
    from pruning.errors import TrainingError as TrainingError
    from pruning.errors import UnknownCriterionError as UnknownCriterionError
    from pruning.errors import VerificationError as VerificationError
    from pruning.explanation import explain as explain
    from pruning.export.exporting import ExportResult as ExportResult
    from pruning.export.exporting import export_model as export_model
    from pruning.foresight import Forecast as Forecast
    from pruning.foresight import foresee as foresee
    from pruning.load import load_model as load_model
    from pruning.measure import latency as latency
    from pruning.pipeline import prune as prune
    from pruning.plan import PruningPlan as PruningPlan
    from pruning.plan import diff as diff
    from pruning.proof.verification import verify as verify
    from pruning.selection.planning import make_plan as make_plan
    from pruning.selection.sensitivity import Sensitivity as Sensitivity
    from pruning.selection.sensitivity import sensitivity as sensitivity
    from pruning.spec import LatencyTarget as LatencyTarget
    from pruning.spec import PruningSpec as PruningSpec
    from pruning.spec import TrainingSpec as TrainingSpec
    from pruning.subclassed import as_functional as as_functional
    from pruning.surgery.cutting import apply_plan as apply_plan

_HOMES = {
    "Channels": "pruning.criteria.base",
    "CheckpointError": "pruning.errors",
    "Criterion": "pruning.criteria.base",
    "CriterionError": "pruning.errors",
    "Data": "pruning.datasets.data",
    "DataCriterion": "pruning.criteria.base",
    "DataError": "pruning.errors",
    "ExportError": "pruning.errors",
    "ExportResult": "pruning.export.exporting",
    "Forecast": "pruning.foresight",
    "InfeasibleError": "pruning.errors",
    "LatencyTarget": "pruning.spec",
    "ModelError": "pruning.errors",
    "NothingToPruneError": "pruning.errors",
    "PlanError": "pruning.errors",
    "PruningError": "pruning.errors",
    "PruningPlan": "pruning.plan",
    "PruningSpec": "pruning.spec",
    "ScoreCriterion": "pruning.criteria.base",
    "Sensitivity": "pruning.selection.sensitivity",
    "SpecError": "pruning.errors",
    "TrainingError": "pruning.errors",
    "TrainingSpec": "pruning.spec",
    "UnknownCriterionError": "pruning.errors",
    "VerificationError": "pruning.errors",
    "apply_plan": "pruning.surgery.cutting",
    "as_functional": "pruning.subclassed",
    "diff": "pruning.plan",
    "explain": "pruning.explanation",
    "export_model": "pruning.export.exporting",
    "foresee": "pruning.foresight",
    "latency": "pruning.measure",
    "load_model": "pruning.load",
    "make_plan": "pruning.selection.planning",
    "prune": "pruning.pipeline",
    "sensitivity": "pruning.selection.sensitivity",
    "verify": "pruning.proof.verification",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
