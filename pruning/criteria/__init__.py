"""Criteria: which channels of a group stay. One file for each; the table of names is `pruning.catalog`."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, get_args

from pruning.catalog import BUILT_IN, CRITERIA, CriterionEntry
from pruning.criteria.base import Channels, Criterion, DataCriterion, FunctionCriterion, Observes, ScoreCriterion
from pruning.errors import CriterionError, UnknownCriterionError, first_line

__all__ = ["Channels", "Criterion", "DataCriterion", "FunctionCriterion", "ScoreCriterion", "resolve_criterion"]


def resolve_criterion(criterion: Any) -> Criterion:
    """Return a criterion given by name, instance, class or function.

    Raises:
        UnknownCriterionError: It is none of these.
        CriterionError: It is installed by another package and cannot be loaded, its class cannot be called without
            arguments, or a `DataCriterion` does not say what it observes.
    """
    if isinstance(criterion, str) and criterion in CRITERIA:
        criterion = _load(CRITERIA[criterion])
    if inspect.isclass(criterion) and issubclass(criterion, Criterion):
        criterion = _made(criterion)
    if isinstance(criterion, Criterion):
        _check_observes(criterion)
        return criterion
    if callable(criterion) and not inspect.isclass(criterion):
        return FunctionCriterion(criterion)
    raise UnknownCriterionError(
        "The criterion is not known.",
        field="pruning.criterion",
        received=repr(criterion),
        expected=f"one of {', '.join(CRITERIA)}, a pruning.Criterion, or a function (weights) -> importance",
    )


def _made(kind: type[Criterion]) -> Criterion:
    try:
        return kind()
    except TypeError as error:
        raise CriterionError(
            f"The criterion {kind.__name__} cannot be made from its class alone.",
            field="pruning.criterion",
            received=first_line(error),
            expected="a class without abstract methods that is called without arguments, or an instance",
        ) from error


def _check_observes(criterion: Criterion) -> None:
    observes, known = getattr(criterion, "observes", None), get_args(Observes)
    if isinstance(criterion, DataCriterion) and observes not in known:
        raise CriterionError(
            f"The criterion {type(criterion).__name__} does not say what it observes.",
            field="pruning.criterion",
            received=f"observes = {observes!r}",
            expected=f"observes = one of {', '.join(map(repr, known))}",
        )


def _load(entry: CriterionEntry) -> Any:
    module, _, name = entry.path.partition(":")
    if entry.name in BUILT_IN:
        return getattr(importlib.import_module(module), name)
    try:
        loaded = getattr(importlib.import_module(module), name)
    except Exception as error:  # noqa: BLE001 - the code of another package may raise anything.
        failure = f"{type(error).__name__}: {first_line(error)}"
    else:
        if callable(loaded) or isinstance(loaded, Criterion):
            return loaded
        failure = f"{type(loaded).__name__}, which is neither a pruning.Criterion nor a function"
    raise CriterionError(
        f"The installed criterion {entry.name!r} cannot be loaded from {entry.path!r}.",
        field="pruning.criterion",
        received=failure,
        expected="a pruning.Criterion, its class, or a function (weights) -> importance",
        hint=f"It comes from {entry.source}: update or uninstall that, or choose another criterion.",
    )
