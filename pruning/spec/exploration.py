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
    """Several criteria, several sizes, or each with each; every one gives a candidate."""

    criteria: list[CriterionLike] = Field(default=[], max_length=32, description="Default: the spec's own.")
    sizes: list[Ratio] = Field(
        default=[], max_length=32, description="Shares that are left, in place of the spec's targets. Default: those."
    )
    measure: Literal["macs", "params"] = Field(
        default="macs", description="What the sizes are shares of; params where MACs cannot be counted."
    )

    @property
    def criterion_names(self) -> list[str]:
        """The criteria by name."""
        return [str(name) for name in self.model_dump(include={"criteria"})["criteria"]]

    @model_validator(mode="after")
    def _check_any(self) -> Sweep:
        names, told = self.criterion_names, {"expected": "criteria or sizes, each of them once"}
        if not names and not self.sizes:
            raise PydanticCustomError("sweep", "there is nothing to sweep over: give {expected}", told)
        if len(set(names)) < len(names) or len(set(self.sizes)) < len(self.sizes):
            raise PydanticCustomError("sweep", "something is there twice: give {expected}", told)
        return self


class Search(Frozen):
    """The smallest model within `max_metric_drop`, by bisection; what comes first of these ends it."""

    max_trials: int = Field(default=6, ge=1, le=100, description="Sizes to try.")
    max_epochs: int | None = Field(default=None, ge=1, description="Epochs of fine-tuning and post-training in all.")
    max_minutes: float | None = Field(default=None, gt=0, description="Minutes of work in all.")
    resolution: float = Field(
        default=0.1, gt=0, lt=1, description="End where the next smaller size is known to fail within this share."
    )


BaselineMethod = Literal["random", "uniform_l1", "from_scratch"]


class Baselines(Frozen):
    """What the delivered model is compared with, at its own size and with its budget of training."""

    methods: list[BaselineMethod] = Field(
        default=["random", "uniform_l1", "from_scratch"],
        min_length=1,
        description="random: random channels; uniform_l1: the l1_norm, as large a share of each layer, in one prune; "
        "from_scratch: the delivered architecture with weights drawn anew.",
    )
    num_seeds: int = Field(default=3, ge=1, le=20, description="How often each is repeated.")
