"""What the pipeline says while it works; nothing is printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

Phase = Literal["loading", "training", "pruning", "fine-tuning", "post-training", "saving"]


@dataclass(frozen=True)
class Progress:
    """One moment of a prune.

    Attributes:
        phase: What is being done.
        fraction: Share of the whole work that is done, 0 to 1; an estimate where a target decides when to stop.
        iteration: Number of the prune, from 1; `None` before the first.
        num_iterations: How many there will be, `None` where only a target decides.
        epoch: Epoch of this phase, from 1.
        num_epochs: Epochs of this phase.
        message: For people.
        metrics: The latest figures by name: those of the validation set start with `val_`, those of training are
            plain; with them `params` and `macs` of a model that was measured.
    """

    phase: Phase
    fraction: float
    iteration: int | None = None
    num_iterations: int | None = None
    epoch: int | None = None
    num_epochs: int | None = None
    message: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


def never_falling(on_progress: OnProgress) -> OnProgress:
    """Return what tells on, with no fraction below one before: how much is left is estimated anew with each trial."""
    highest = 0.0

    def tell(progress: Progress) -> None:
        nonlocal highest
        highest = max(highest, progress.fraction)
        on_progress(replace(progress, fraction=highest))

    return tell
