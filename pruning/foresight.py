"""What a prune would do, before anything is trained for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from pruning.datasets.data import Data
from pruning.errors import SpecError
from pruning.measure import Latency, latency
from pruning.pipeline import prune
from pruning.plan import PruningPlan
from pruning.progress import OnProgress
from pruning.scoring.importance import looks_at_data, needs_samples
from pruning.spec import LatencyTarget, PruningSpec, TrainingSpec, checked
from pruning.subclassed import as_functional

_UNTRAINED = {"epochs": 0, "fine_tuning_epochs": 0, "post_training_epochs": 0}


@dataclass(frozen=True)
class Forecast:
    """What a prune would do.

    Attributes:
        plan: Which channels would stay, over all iterations.
        stopped_because: Why no more would go.
        notes: What the forecast leaves out, or the prune would note.
        swept: Of a sweep: name of each trial → its plan; `plan` is the smallest of them.
        latency: Of the pruned model, timed in turns with the original; `None` where it was not asked for.
    """

    plan: PruningPlan
    stopped_because: str
    notes: tuple[str, ...]
    latency: Latency | None
    swept: Mapping[str, PruningPlan] = field(default_factory=dict)


def foresee(
    model: keras.Model,
    spec: PruningSpec | Mapping[str, Any],
    data: Any = None,
    *,
    training: TrainingSpec | Mapping[str, Any] | None = None,
    is_timed: bool = True,
    on_progress: OnProgress | None = None,
) -> Forecast:
    """Go through all iterations of a prune without training, and time what comes of it.

    As many channels go as in the prune itself, but for what only training can tell: how the metric falls, and with a
    global ranking how important weights become. Which channels go is decided by the weights as they are now.

    Args:
        model: What `prune` takes; it is not changed.
        spec: What to remove and when to stop, as a spec or a dict of its fields. `max_metric_drop` is left out.
        data: What `Data.of` takes; looked at only by a criterion or a scope that looks at data.
        training: Of it the loss counts, where the criterion does.
        is_timed: Whether to time one call of both models, as `target_latency` says if it is given.
        on_progress: Called as `prune` does.

    Raises:
        PruningError: What `prune` would raise before it trains.
        SpecError: The spec asks for a search, whose sizes only training tells.
    """
    spec = checked(PruningSpec, spec, "pruning")
    _refuse_search(spec)
    training = checked(TrainingSpec, training or {}, "training")
    arrays = None if data is None else Data.of(data)
    spec = spec.resolved(has_data=arrays is not None, has_targets=arrays is not None and arrays.is_labelled)
    model = as_functional(model)
    result = prune(
        model,
        spec.model_copy(update={"max_metric_drop": None, "baselines": None}),
        arrays if needs_samples(spec) or any(map(looks_at_data, spec.criteria)) else None,
        training=training.model_copy(update=_UNTRAINED),
        on_progress=on_progress,
        is_timed=False,
    )
    left_out = () if spec.max_metric_drop is None else (_LEFT_OUT,)
    last = {each.trial: each.name for each in result.report.candidates}
    return Forecast(
        plan=result.plan,
        stopped_because=result.report.stopped_because,
        notes=(*left_out, *result.report.notes),
        latency=_timed(result.model, model, spec) if is_timed else None,
        swept={} if spec.sweep is None else {trial: result.candidate(name)[1] for trial, name in last.items()},
    )


_LEFT_OUT = "max_metric_drop is left out: only training tells how the metric falls, and so whether less or more goes"


def _refuse_search(spec: PruningSpec) -> None:
    if spec.smallest is not None:
        raise SpecError(
            "Which sizes a search tries, and where it ends, only training tells.",
            field="pruning.max_metric_drop",
            received="max_metric_drop without a size",
            expected="a size to plan: a target, ratio, max_filters_removed, or the sizes of a sweep",
            hint="Give sizes that may come of it, such as target_macs 0.5, or a sweep over several.",
        )


def _timed(pruned: keras.Model, original: keras.Model, spec: PruningSpec) -> Latency:
    asked = spec.target_latency
    target = asked if isinstance(asked, LatencyTarget) else LatencyTarget(share=0.5)
    return latency(pruned, batch_size=target.batch_size, runtime=target.runtime, beside=original)
