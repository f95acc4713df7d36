"""Several ways of pruning in one run: sweep, search and baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pruning.spec.values import CriterionLike, Frozen, Ratio


class Sweep(Frozen):
    """Several criteria, several sizes, or all combinations; each is a candidate."""

    criteria: list[CriterionLike] = Field(
        default=[], max_length=32, description="Criteria to try. Default: the spec's criterion."
    )
    sizes: list[Ratio] = Field(
        default=[], max_length=32, description="Fractions to keep, instead of the spec's targets. Default: the targets."
    )
    measure: Literal["macs", "params"] = Field(
        default="macs", description="What sizes are fractions of; params if MACs cannot be counted."
    )

    @property
    def criterion_names(self) -> list[str]:
        """The criteria by name."""
        return [str(name) for name in self.model_dump(include={"criteria"})["criteria"]]

    @model_validator(mode="after")
    def _check_any(self) -> Sweep:
        names, told = self.criterion_names, {"expected": "criteria or sizes, each value once"}
        if not names and not self.sizes:
            raise PydanticCustomError("sweep", "A sweep needs something to try: set {expected}.", told)
        if len(set(names)) < len(names) or len(set(self.sizes)) < len(self.sizes):
            raise PydanticCustomError("sweep", "A sweep must not repeat a value: set {expected}.", told)
        return self


class Search(Frozen):
    """Find the smallest model within `max_metric_drop` by bisection, until one of these limits is reached."""

    max_trials: int = Field(default=6, ge=1, le=100, description="Maximum number of sizes to try.")
    max_epochs: int | None = Field(
        default=None, ge=1, description="Maximum epochs of fine-tuning and post-training in total."
    )
    max_minutes: float | None = Field(default=None, gt=0, description="Maximum minutes in total.")
    resolution: float = Field(
        default=0.1, gt=0, lt=1, description="Stop when a size that fails is within this fraction."
    )


BaselineMethod = Literal["random", "uniform_l1", "from_scratch"]


class Baselines(Frozen):
    """Models to compare the delivered one with, of the same size and training budget."""

    methods: list[BaselineMethod] = Field(
        default=["random", "uniform_l1", "from_scratch"],
        min_length=1,
        description="random: random channels; uniform_l1: l1_norm, the same fraction of each layer, in one prune; "
        "from_scratch: the delivered architecture with new random weights.",
    )
    num_seeds: int = Field(default=3, ge=1, le=20, description="Number of models per method.")
