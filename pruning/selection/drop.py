"""How much worse a pruned model is by one metric."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import keras

from pruning.errors import InfeasibleError, SpecError
from pruning.figures import VALIDATION
from pruning.spec import PruningSpec

_HIGHER_IS_BETTER = {"acc", "io_u", "binary_io_u", "mean_io_u", "one_hot_io_u", "one_hot_mean_io_u"}
"""Metrics that Keras does not make from their names alone."""


_FAR = 0.05
"""A difference that the report speaks of: five points of accuracy."""


@dataclass(frozen=True)
class Drop:
    """A metric before pruning and after a prune.

    Attributes:
        metric: Its name among the figures of the validation set, such as `val_accuracy`.
        before: Its value before the first prune.
        after: Its value after this prune and its fine-tuning.
        value: By how much it is worse; negative where it is better.
    """

    metric: str
    before: float
    after: float
    value: float

    def infeasible(self, limit: str) -> InfeasibleError:
        """Return the error for a drop that was too large after every prune."""
        return InfeasibleError(
            "No prune leaves the metric within what is allowed.",
            nearest={self.metric: self.after},
            binding=("max_metric_drop",),
            field="pruning.max_metric_drop",
            received=f"{limit}, and {self}",
            expected=f"a max_metric_drop of at least {self.value:.4g}",
            hint="Remove less in each iteration (num_iterations, ratio), or fine-tune for longer.",
        )

    def __str__(self) -> str:
        return f"{self.metric} went from {self.before:.4f} to {self.after:.4f}"


class WatchedMetric:
    """The metric that a spec watches.

    Args:
        spec: Which one.
        measured: Figures of the validation set by name; empty without data.

    Raises:
        SpecError: There is no data, no such metric, or nobody says in which direction it is better.
    """

    def __init__(self, spec: PruningSpec, measured: Mapping[str, float]) -> None:
        self.name = _watched(spec, measured)
        if self.name not in measured:
            raise SpecError(
                "The model is not measured by this metric." if measured else "Without data no metric is measured.",
                field="pruning.metric" if measured else "pruning.max_metric_drop",
                received=spec.metric or self.name,
                expected=f"one of {', '.join(measured)}" if measured else "data to measure with",
                hint="Name it in training.metrics." if measured else None,
            )
        self._higher_is_better = _higher_is_better(self.name)

    def is_better(self, value: float, than: float) -> bool:
        """Tell whether a value is better than another; NaN is the worst of all."""
        if math.isnan(than):
            return not math.isnan(value)
        return value > than if self._higher_is_better else value < than

    def drop(self, before: Mapping[str, float], after: Mapping[str, float]) -> Drop:
        """Compare two measurements."""
        worse = before[self.name] - after[self.name]
        return Drop(self.name, before[self.name], after[self.name], worse if self._higher_is_better else -worse)


def far_apart(spec: PruningSpec, before: Mapping[str, float], after: Mapping[str, float]) -> str | None:
    """Return a line for the report where a model is far below or above what it was before pruning, else `None`.

    Far below is more than `max_metric_drop`, or five points of a share such as accuracy where that is not given. Far
    above are five points: such a gain comes of training that the model had lacked before.
    """
    if not before:
        return None
    name = _watched(spec, before)
    is_share = _is_share(name, before)
    if spec.max_metric_drop is None and not is_share:
        return None
    drop = WatchedMetric(spec.model_copy(update={"metric": name}), before).drop(before, after)
    if is_share and -drop.value > _FAR:
        return (
            f"the gain is that of training, not of pruning: {drop}; only a model that was trained to its end before "
            "(epochs) shows what pruning costs"
        )
    if not drop.value > (_FAR if spec.max_metric_drop is None else spec.max_metric_drop):
        return None
    return (
        f"the delivered model is far below the one before pruning: {drop}; fine-tune for longer "
        "(fine_tuning_epochs, post_training_epochs), divide the way over more iterations (num_iterations), or "
        "remove less"
    )


def _watched(spec: PruningSpec, measured: Mapping[str, float]) -> str:
    """Return the name of the watched figure, which the spec may give without `val_`, or by the metric's class."""
    if spec.metric is None:
        return next((name for name in measured if not _is_loss(name)), f"{VALIDATION}loss")
    wanted = (spec.metric, VALIDATION + spec.metric)
    alike = [name for name in measured if _squashed(name) == _squashed(wanted[1])]
    return next((name for name in (*wanted, *alike) if name in measured), wanted[1])


def _squashed(name: str) -> str:
    """Return a name in which class and snake case are the same: `MeanIoU` and `mean_io_u`."""
    return name.replace("_", "").lower()


def _is_share(name: str, measured: Mapping[str, float]) -> bool:
    return name.endswith(("accuracy", "acc")) and 0 <= measured.get(name, -1) <= 1


def _is_loss(name: str) -> bool:
    return name.endswith("_loss")


def _higher_is_better(name: str) -> bool:
    """Tell by Keras's own word for each of its metrics, also for `val_<output>_<metric>_<number>`."""
    words = re.sub(r"_\d+$", "", name).split("_")
    for start in range(len(words)):
        suffix = "_".join(words[start:])
        if suffix == "loss" or suffix in _HIGHER_IS_BETTER:
            return suffix != "loss"
        try:
            direction = getattr(keras.metrics.get(suffix), "_direction", None)
        except (TypeError, ValueError):
            continue
        if direction is not None:
            return bool(direction == "up")
    raise SpecError(
        "It is not known whether more or less of this metric is better.",
        field="pruning.metric",
        received=name,
        expected="the loss, or a metric of Keras's own, such as accuracy",
    )
