"""What it costs the loss that a group loses channels, measured group by group.

Source: Li et al. 2017, arXiv:1608.08710, section 3.2, who prune each layer by itself to see how many filters it can
spare. Differs: what counts is the loss, not the accuracy, and the measurement itself decides the widths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.interpolate import PchipInterpolator

from pruning.datasets.data import Data
from pruning.errors import CriterionError, SpecError
from pruning.graph.fingerprint import fingerprint
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.keras_model.weights import read_weights
from pruning.scoring.calibration import Calibration, OnShare
from pruning.scoring.importance import Scoring
from pruning.scoring.several import measure_sets
from pruning.spec import PruningSpec, checked

SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4)
"""Of a group's channels, that are removed to measure it."""

SCORING_SHARE = 0.2
"""Of the work: the criterion's part."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GroupSensitivity(_Frozen):
    """What it costs that one group alone loses channels."""

    name: str = Field(description="As in plans.")
    num_channels: int
    removed: tuple[int, ...] = Field(description="How many channels were taken away, ascending.")
    increases: tuple[float, ...] = Field(description="How much the loss grew in each case; below 0 where it fell.")

    def prices(self) -> np.ndarray:
        """Return what each further channel costs, never less than the one before, shape `(num_channels,)`.

        Between the measurements runs a monotone cubic interpolation; behind the last, and where the curve flattens
        because next to nothing is left to lose, channels cost what they cost before.
        """
        if not self.removed:
            return np.zeros(self.num_channels)
        rising = np.maximum.accumulate(np.array([0.0, *self.increases]))
        known = np.array([0, *self.removed])
        prices = np.zeros(self.num_channels)
        prices[: known[-1]] = np.diff(PchipInterpolator(known, rising)(np.arange(known[-1] + 1)))
        risen: np.ndarray = np.maximum.accumulate(prices)
        return risen


class Sensitivity(_Frozen):
    """How sensitive each group is; `print` shows it as a table, `model_dump_json` writes it."""

    criterion: str = Field(description="Says which channels go first.")
    num_samples: int
    loss: float | None = Field(description="Of the whole model; null without targets, where outputs are compared.")
    groups: tuple[GroupSensitivity, ...]

    def __str__(self) -> str:
        rows = [("group", "channels", "removed: increase of the loss" if self.loss is not None else "removed: error")]
        rows += [
            (
                each.name,
                str(each.num_channels),
                "  ".join(f"{n}: {by:+.4f}" for n, by in zip(each.removed, each.increases, strict=True)),
            )
            for each in self.groups
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        lines = [f"{name:<{widths[0]}}  {count:>{widths[1]}}  {costs}".rstrip() for name, count, costs in rows]
        of = "the outputs, by their variance" if self.loss is None else f"the loss of {self.loss:.4f}"
        return "\n".join([*lines, f"By {self.criterion}, {self.num_samples:,} samples, {of}."])

    def prices(self, group: str) -> np.ndarray:
        """Return what each further channel of a group costs, ascending, shape `(num_channels,)`."""
        return {each.name: each for each in self.groups}[group].prices()


def sensitivity(
    model: keras.Model,
    data: Any,
    *,
    criterion: Any = "auto",
    shares: Sequence[float] = SHARES,
    calibration_samples: int = 1024,
    seed: int = 0,
    on_share: OnShare | None = None,
) -> Sensitivity:
    """Measure for each group by itself how the loss grows when shares of its channels go.

    Channels are masked, and no model is built; the model is not changed.

    Args:
        model: A functional or Sequential model.
        data: What `Data.of` takes. The loss is what the model is compiled with; without targets, outputs are compared.
        criterion: What `PruningSpec.criterion` takes: it says which channels go first.
        shares: Shares of each group's channels, above 0 and below 1.
        calibration_samples: How many training samples are looked at, drawn by `seed`.
        seed: Of the draw and of the criterion.
        on_share: Told how far the measuring is.

    Raises:
        ModelError: The model has no graph that can be traced.
        CriterionError: The criterion returned something unusable, or a loss is not finite.
        DataError: The data does not fit the model.
        SpecError: There is no loss, or an argument is out of its range.
    """
    if not shares or not all(0 < share < 1 for share in shares):
        raise SpecError(
            "These are no shares of channels to remove.",
            field="shares",
            received=", ".join(map(str, shares)) or "none",
            expected="at least one number, each above 0 and below 1",
        )
    # A spec, so that arguments are checked where all others are.
    asked: dict[str, object] = {"criterion": criterion, "calibration_samples": calibration_samples, "seed": seed}
    spec = checked(PruningSpec, {**asked, "scope": "sensitivity", "ratio": 0.5}, "pruning")
    arrays = Data.of(data)
    spec = spec.resolved(has_data=True, has_targets=arrays.is_labelled)
    graph = ChannelGraph(model)
    calibration = Calibration.of(
        model, arrays, num_samples=calibration_samples, seed=seed, on_share=on_share or (lambda share: None)
    )
    scoring = Scoring(graph, spec.criterion, seed, calibration.within(0, SCORING_SHARE))
    names = [group.name for group in graph.groups]
    return measure_sensitivity(graph, spec, names, scoring, calibration.within(SCORING_SHARE, 1), shares)


def measure_sensitivity(
    graph: ChannelGraph,
    spec: PruningSpec,
    names: Collection[str],
    scoring: Scoring,
    calibration: Calibration,
    shares: Sequence[float] = SHARES,
) -> Sensitivity:
    """Measure some groups of a traced model; see `sensitivity`.

    Args:
        graph: The traced model.
        spec: Names the criterion.
        names: Of the groups.
        scoring: The criterion, applied to the graph.
        calibration: The samples and the loss.
        shares: Of each group's channels.
    """
    groups = [group for group in graph.groups if group.name in names]
    removed = {group.name: _removed(group, shares) for group in groups}
    keeps = {
        group.name: [scoring.keep(group, group.num_channels - count) for count in removed[group.name]]
        for group in groups
    }
    loss, increases = measure_sets(graph, keeps, calibration)
    for name, found in increases.items():
        if not np.all(np.isfinite(found)):
            raise CriterionError(
                f"The loss is not finite without some channels of group {name!r}.",
                field="pruning.scope",
                received=", ".join(f"{each:g}" for each in found),
                expected="finite increases of the loss",
                hint=f"Leave the group out with exclude: [{name!r}], or choose the scope local or global.",
            )
    return Sensitivity(
        criterion=str(spec.model_dump(include={"criterion"})["criterion"]),
        num_samples=calibration.num_samples,
        loss=loss if calibration.is_labelled else None,
        groups=tuple(
            GroupSensitivity(
                name=group.name,
                num_channels=group.num_channels,
                removed=tuple(removed[group.name]),
                increases=tuple(increases[group.name].tolist()),
            )
            for group in groups
        ),
    )


class Sensitivities:
    """The sensitivities of the models of one run, each measured once: its samples are taken to be the same."""

    def __init__(self) -> None:
        self._measured: dict[str, Sensitivity] = {}

    def of(
        self, graph: ChannelGraph, spec: PruningSpec, names: Sequence[str], scoring: Scoring, calibration: Calibration
    ) -> Sensitivity:
        """Return what `measure_sensitivity` does, measured if it was not yet for these weights and this criterion."""
        told = spec.model_dump(include={"criterion", "seed", "calibration_samples"})
        digest = hashlib.sha256(f"{fingerprint(graph)}{told}{names}".encode())
        for variable in graph.model.variables:
            digest.update(np.ascontiguousarray(read_weights(variable)).reshape(-1).view(np.uint8).data)
        key = digest.hexdigest()
        if key not in self._measured:
            self._measured[key] = measure_sensitivity(graph, spec, names, scoring, calibration)
        return self._measured[key]


def _removed(group: ChannelGroup, shares: Sequence[float]) -> list[int]:
    """Return how many channels of a group the shares come to, each number once, at least one and never all."""
    counts = {min(max(1, round(share * group.num_channels)), group.num_channels - 1) for share in shares}
    return sorted(counts - {0})
