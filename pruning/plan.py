"""PruningPlan: which channels stay. Frozen, JSON in and out, independent of Keras."""

from __future__ import annotations

import operator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GroupPlan(_Frozen):
    """The channels of one channel group that stay.

    A channel group is a set of channels of the same kind that lie on the same weight axes; channel `i`
    of the group is removed from all those axes at once.
    """

    name: str = Field(description="Path of the first layer that produces the group's channels.")
    layers: tuple[str, ...] = Field(description="Paths of all layers that produce these channels.")
    num_channels: int = Field(ge=1)
    keep: tuple[int, ...] = Field(description="Indices that stay, ascending, within the group.")
    why: str = Field(default="", description="What decides how many stay, such as `ratio 0.5`; of version 1, empty.")

    @model_validator(mode="after")
    def _check_keep(self) -> GroupPlan:
        ascending = all(map(operator.lt, self.keep, self.keep[1:]))
        if not self.keep or not ascending or self.keep[0] < 0 or self.keep[-1] >= self.num_channels:
            raise ValueError(
                f"group {self.name!r}: keep must be non-empty, ascending and within 0..{self.num_channels - 1}"
            )
        return self


class LayerPlan(_Frozen):
    """Before and after of one layer, for reading; surgery follows the groups."""

    path: str
    kind: str = Field(description="Class of the layer.")
    channels_before: int | None = Field(default=None, description="Channels that the layer makes or passes on.")
    channels_after: int | None = None
    params_before: int
    params_after: int
    macs_before: int | None = Field(default=None, description="Multiply-accumulates for one sample.")
    macs_after: int | None = None
    locked: str | None = Field(default=None, description="Why the layer's channels cannot be removed.")
    why: str = Field(default="", description="What decides how many channels stay: that of its groups, or `locked`.")


class PruningPlan(_Frozen):
    """Which channels of one model stay.

    The plan belongs to the architecture whose `fingerprint` it carries; it can be replayed on the same
    or a retrained model and is refused on any other.
    """

    schema_version: Literal[1, 2] = Field(default=2, description="Version 1 is the same without `why`.")
    fingerprint: str = Field(description="sha256 over layers, weight shapes and channel groups.")
    criterion: str
    groups: tuple[GroupPlan, ...]
    layers: tuple[LayerPlan, ...]
    params_before: int
    params_after: int
    macs_before: int | None = None
    macs_after: int | None = None

    @property
    def num_channels_before(self) -> int:
        """Channels of all prunable groups before the prune."""
        return sum(group.num_channels for group in self.groups)

    @property
    def num_channels_after(self) -> int:
        """Channels of all prunable groups after the prune."""
        return sum(len(group.keep) for group in self.groups)


def compose(first: PruningPlan, second: PruningPlan) -> PruningPlan:
    """Return the plan that does at once what two plans do one after the other.

    Args:
        first: Plan of the original model.
        second: Plan of the model that `first` gives.
    """
    later = {group.name: group.keep for group in second.groups}
    rows = {layer.path: layer for layer in second.layers}
    return first.model_copy(
        update={
            "groups": tuple(
                group.model_copy(update={"keep": tuple(group.keep[index] for index in later[group.name])})
                for group in first.groups
            ),
            "layers": tuple(
                layer.model_copy(
                    update={
                        "channels_after": rows[layer.path].channels_after,
                        "params_after": rows[layer.path].params_after,
                        "macs_after": rows[layer.path].macs_after,
                    }
                )
                for layer in first.layers
            ),
            "params_after": second.params_after,
            "macs_after": second.macs_after,
        }
    )
