"""JobSpec: what a caller asks the service to do."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pruning.spec import PruningSpec, TrainingSpec

BUILTIN_DATASETS: dict[str, str] = {
    "digits": "1,797 grayscale images of handwritten digits, 8x8 pixels, 10 classes (scikit-learn's load_digits)",
}

EPOCH_FIELDS = ("epochs", "fine_tuning_epochs", "post_training_epochs")


class JobSpec(BaseModel):
    """Which model to prune, on what data, how far, and how to train around it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1, max_length=64, description="Id of an uploaded model, `mdl_…`.")
    dataset: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description=f"Id of an uploaded dataset, `dst_…`, or a built-in one: {', '.join(BUILTIN_DATASETS)}.",
    )
    name: str | None = Field(default=None, max_length=200, description="A display name.")
    pruning: PruningSpec
    training: TrainingSpec = TrainingSpec()

    @field_validator("pruning")
    @classmethod
    def _check_names(cls, pruning: PruningSpec) -> PruningSpec:
        if not all(isinstance(criterion, str) for criterion in (pruning.criterion, *pruning.criteria)):
            raise ValueError("A job needs a criterion by name. Objects work only in the library.")
        if not isinstance(pruning.schedule, str):
            raise ValueError("A job needs a schedule by name. Functions work only in the library.")
        return pruning

    @property
    def input_ids(self) -> dict[str, str]:
        """Ids of the uploads that the job reads, by the field that names them."""
        ids = {"model": self.model}
        if self.dataset is not None and self.dataset not in BUILTIN_DATASETS:
            ids["dataset"] = self.dataset
        return ids

    def as_json(self) -> dict[str, Any]:
        """Return the spec as JSON-ready fields, defaults included."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """Return the sha256 of the spec, in hexadecimal; equal specs have equal digests."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
