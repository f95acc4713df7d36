"""PruningPlan: which channels stay. Frozen, JSON in and out, independent of Keras."""

from __future__ import annotations

import operator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pruning.errors import PlanError


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
    later = {group.name: group for group in second.groups}
    rows = {layer.path: layer for layer in second.layers}
    return first.model_copy(
        update={
            "groups": tuple(
                group.model_copy(
                    update={
                        "keep": tuple(group.keep[index] for index in later[group.name].keep),
                        "why": _both(group.why, later[group.name].why),
                    }
                )
                for group in first.groups
            ),
            "layers": tuple(
                layer.model_copy(
                    update={
                        "channels_after": rows[layer.path].channels_after,
                        "params_after": rows[layer.path].params_after,
                        "macs_after": rows[layer.path].macs_after,
                        "why": _both(layer.why, rows[layer.path].why),
                    }
                )
                for layer in first.layers
            ),
            "params_after": second.params_after,
            "macs_after": second.macs_after,
        }
    )


def _both(first: str, second: str) -> str:
    """Return the reasons of two prunes, those that are the same once."""
    return "; ".join(dict.fromkeys(reason for why in (first, second) for reason in why.split("; ") if reason))


class GroupDiff(_Frozen):
    """A channel group of which two plans keep different channels."""

    name: str
    num_channels: int
    only_first: tuple[int, ...] = Field(description="Channels that only the first plan keeps.")
    only_second: tuple[int, ...] = Field(description="Channels that only the second plan keeps.")
    kept: tuple[int, int] = Field(description="How many channels each plan keeps.")
    why: tuple[str, str] = Field(description="What decided that, by each plan.")


class LayerDiff(_Frozen):
    """A layer that two plans leave in different sizes."""

    path: str
    channels: tuple[int | None, int | None]
    params: tuple[int, int]
    macs: tuple[int | None, int | None]


class PlanDiff(_Frozen):
    """Where two plans for the same model differ; `print` shows it by line, `model_dump_json` writes it."""

    groups: tuple[GroupDiff, ...]
    layers: tuple[LayerDiff, ...]
    params: tuple[int, int]
    macs: tuple[int | None, int | None]

    def __str__(self) -> str:
        lines = [
            f"{group.name}: {group.kept[0]} → {group.kept[1]} of {group.num_channels} channels, "
            f"{len(group.only_first)} only in the first, {len(group.only_second)} only in the second"
            for group in self.groups
        ]
        return "\n".join([*lines, f"parameters: {self.params[0]:,} → {self.params[1]:,}"])


def diff(first: PruningPlan, second: PruningPlan) -> PlanDiff:
    """Compare two plans for the same model, group by group and layer by layer.

    Raises:
        PlanError: They were made for different architectures.
    """
    if first.fingerprint != second.fingerprint:
        raise PlanError(
            "The plans were made for different architectures.",
            field="plan",
            received=f"fingerprints {first.fingerprint[:12]}… and {second.fingerprint[:12]}…",
            expected="two plans for one model, or for models retrained from it",
        )
    groups = [
        GroupDiff(
            name=one.name,
            num_channels=one.num_channels,
            only_first=tuple(sorted(set(one.keep) - set(other.keep))),
            only_second=tuple(sorted(set(other.keep) - set(one.keep))),
            kept=(len(one.keep), len(other.keep)),
            why=(one.why, other.why),
        )
        for one, other in zip(first.groups, second.groups, strict=True)
        if one.keep != other.keep
    ]
    layers = [
        LayerDiff(
            path=one.path,
            channels=(one.channels_after, other.channels_after),
            params=(one.params_after, other.params_after),
            macs=(one.macs_after, other.macs_after),
        )
        for one, other in zip(first.layers, second.layers, strict=True)
        if (one.channels_after, one.params_after) != (other.channels_after, other.params_after)
    ]
    return PlanDiff(
        groups=tuple(groups),
        layers=tuple(layers),
        params=(first.params_after, second.params_after),
        macs=(first.macs_after, second.macs_after),
    )
