"""One way of pruning that a run tries."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pruning.catalog import CRITERIA
from pruning.spec import BaselineMethod, PruningSpec

BASE = "base"
"""What trials start from unless they go on from a candidate: the model before the first prune."""
_UNIFORM: dict[str, Any] = {
    "scope": "local", "ratio": None, "num_iterations": 1, "schedule": "one_shot", "max_filters_removed": None,
    "ratios": {}, "ratios_by_width": [], "target_params": None, "target_macs": None, "target_file_bytes": None,
    "target_latency": None, "reconstruction": False, "max_metric_drop": None,
}  # fmt: skip


class Trial(BaseModel):
    """One way of pruning, as a change to what the spec asks.

    Attributes:
        name: Sets trials apart; empty for the only one of a run.
        criterion: Place of its criterion in the sweep; `None`: the spec's own.
        target: Field of a target and the share that it leaves; `None`: the spec's own targets.
        start: `BASE`, or the name of the candidate that it goes on from.
        baseline: What it is to be compared with, not delivered.
        seed: Added to the seeds of the spec.
    """

    model_config = ConfigDict(frozen=True)

    name: str = ""
    criterion: int | None = None
    target: tuple[str, float] | None = None
    start: str = BASE
    baseline: BaselineMethod | None = None
    seed: int = Field(default=0, ge=0)

    def spec(self, asked: PruningSpec) -> PruningSpec:
        """Return what this trial asks for."""
        changes: dict[str, Any] = {"sweep": None, "search": None, "baselines": None}
        changes["seed"] = (asked.seed + self.seed) % 2**32
        if self.baseline is not None:
            changes |= _UNIFORM | {"criterion": "random" if self.baseline == "random" else "l1_norm"}
        elif self.criterion is not None and asked.sweep is not None:
            changes["criterion"] = asked.sweep.criteria[self.criterion]
        if self.target is not None:
            others = dict.fromkeys(("target_params", "target_macs", "target_file_bytes", "target_latency"))
            changes |= others | {self.target[0]: self.target[1], "ratio": None}
        spec = asked.model_copy(update=changes)
        is_set = isinstance(spec.criterion, str) and not CRITERIA[spec.criterion].ranks
        return spec.model_copy(update={"scope": "local"}) if is_set and spec.scope == "global" else spec

    def candidate(self, iteration: int | None, *, is_post_trained: bool = False) -> str:
        """Return the name of a candidate of this trial."""
        end = "post-trained" if is_post_trained else f"iteration-{iteration}"
        return "-".join(filter(None, [self.name, end]))
