"""Criteria: which channels of a group stay. One file for each; the table of names is `pruning.catalog`."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from pruning.catalog import CRITERIA
from pruning.criteria.base import Channels, Criterion, DataCriterion, FunctionCriterion, ScoreCriterion
from pruning.errors import UnknownCriterionError

__all__ = ["Channels", "Criterion", "DataCriterion", "FunctionCriterion", "ScoreCriterion", "resolve_criterion"]


def resolve_criterion(criterion: Any) -> Criterion:
    """Return a criterion given by name, instance, class or function.

    Raises:
        UnknownCriterionError: It is none of these.
    """
    if isinstance(criterion, str) and criterion in CRITERIA:
        module, _, name = CRITERIA[criterion].path.partition(":")
        criterion = getattr(importlib.import_module(module), name)
    if inspect.isclass(criterion) and issubclass(criterion, Criterion):
        criterion = criterion()
    if isinstance(criterion, Criterion):
        return criterion
    if callable(criterion) and not inspect.isclass(criterion):
        return FunctionCriterion(criterion)
    raise UnknownCriterionError(
        "The criterion is not known.",
        field="pruning.criterion",
        received=repr(criterion),
        expected=f"one of {', '.join(CRITERIA)}, a pruning.Criterion, or a function (weights) -> importance",
    )
