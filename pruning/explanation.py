"""What pruning could do with a model: which channels belong together, and why some must stay."""

from __future__ import annotations

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pruning.counting.costs import Costs
from pruning.counting.reach import reach
from pruning.counting.rows import plan_layers
from pruning.graph.groups import ChannelGraph, ChannelGroup


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GroupExplanation(_Frozen):
    """Channels that are removed from all these layers at once."""

    name: str = Field(description="As in plans: path of the first layer that makes the channels.")
    num_channels: int
    made_by: tuple[str, ...] = Field(description="Layers that make the channels, coupled to each other.")
    scaled_by: tuple[str, ...] = Field(description="Layers with weights through which the channels pass one by one.")
    read_by: tuple[str, ...] = Field(description="Layers whose kernels read the channels.")


class LayerExplanation(_Frozen):
    """One layer that has weights, or that keeps channels from being removed."""

    path: str
    kind: str = Field(description="Class of the layer.")
    channels: int | None = Field(description="Channels that the layer makes or passes on; null where it has none.")
    params: int
    macs: int | None = Field(description="Multiply-accumulates for one sample; null where they cannot be counted.")
    groups: tuple[str, ...] = Field(description="Channel groups that it makes or passes on.")
    reads: tuple[str, ...] = Field(description="Channel groups that it reads.")
    coupled_to: tuple[str, ...] = Field(description="Other layers that make the same channels.")
    prunable: bool = Field(description="Whether channels that it makes or passes on can be removed.")
    locked: str | None = Field(description="Why not, or why some of them cannot.")


class Size(_Frozen):
    """What a model comes to."""

    params: int
    macs: int | None = Field(description="Multiply-accumulates for one sample; null where they cannot be counted.")

    def __str__(self) -> str:
        return f"{self.params:,} parameters, {_count(self.macs) or 'uncounted'} MACs"


class Explanation(_Frozen):
    """A model as pruning sees it; `print` shows it as a table, `model_dump_json` writes it.

    Targets may lie anywhere from `smallest` up to `original`.
    """

    groups: tuple[GroupExplanation, ...]
    layers: tuple[LayerExplanation, ...]
    original: Size = Field(description="The model as it is.")
    smallest: Size = Field(description="With one channel left in each group: no target can be reached below.")
    prunable_share: float = Field(description="Share of the parameters in kernels that lie in prunable groups.")

    def __str__(self) -> str:
        rows = [("layer", "kind", "channels", "params", "MACs", ""), *map(_cells, self.layers)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(f"{cell:{'<' if number in _TEXTS else '>'}{widths[number]}}" for number, cell in enumerate(row))
            for row in rows
        ]
        return "\n".join(
            [
                *(line.rstrip() for line in lines),
                f"Original: {self.original}.",
                f"Smallest within reach: {self.smallest}{_shares(self.smallest, self.original)}.",
                f"{self.prunable_share:.1%} of the parameters in kernels can be pruned.",
            ]
        )


def explain(model: keras.Model) -> Explanation:
    """Say of each layer to which others its channels are coupled, whether they can be removed, and why not.

    The model is not changed.

    Raises:
        ModelError: The model has no graph that can be traced.
    """
    graph = ChannelGraph(model)
    groups = {group.name: _explain_group(graph, group) for group in graph.groups}
    costs = Costs(graph)
    rows = {row.path: row for row in plan_layers(graph, costs, {})}
    layers = []
    for path, layer in graph.records.layers.values():
        row = rows.get(path)
        if row is None and path not in graph.locked:
            continue
        own = [name for name, group in groups.items() if path in (*group.made_by, *group.scaled_by)]
        others = [other for name in own for other in groups[name].made_by if other != path]
        layers.append(
            LayerExplanation(
                path=path,
                kind=type(layer).__name__,
                channels=None if row is None else row.channels_before,
                params=0 if row is None else row.params_before,
                macs=0 if row is None else row.macs_before,
                groups=tuple(own),
                reads=tuple(name for name, group in groups.items() if path in group.read_by),
                coupled_to=tuple(dict.fromkeys(others)),
                prunable=any(groups[name].num_channels > 1 for name in own),
                locked=graph.locked.get(path),
            )
        )
    return Explanation(
        groups=tuple(groups.values()),
        layers=tuple(layers),
        original=_size(costs, costs.widths),
        smallest=_size(costs, np.ones_like(costs.widths)),
        prunable_share=reach(graph).share,
    )


def _size(costs: Costs, widths: np.ndarray) -> Size:
    macs = None if costs.uncounted is not None else int(costs.macs(widths))
    return Size(params=int(costs.params(widths)), macs=macs)


def _explain_group(graph: ChannelGraph, group: ChannelGroup) -> GroupExplanation:
    made_by = set(group.layers)
    reading: dict[str, None] = {}
    scaling: dict[str, None] = {}
    for axis in graph.axes(group=group):
        path = graph.records.layers[id(axis.layer)][0]
        if axis.role == "in":
            reading[path] = None
        elif path not in made_by:
            scaling[path] = None
    return GroupExplanation(
        name=group.name,
        num_channels=group.num_channels,
        made_by=group.layers,
        scaled_by=tuple(scaling),
        read_by=tuple(reading),
    )


_TEXTS = (0, 1, 5)  # The columns that are not numbers.


def _cells(layer: LayerExplanation) -> tuple[str, ...]:
    numbers = map(_count, (layer.channels, layer.params, layer.macs))
    return (layer.path, layer.kind, *numbers, _said_of(layer))


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _shares(size: Size, original: Size) -> str:
    pairs = ((size.params, original.params), (size.macs, original.macs))
    told = [f"{100 * part / whole:.1f} %" for part, whole in pairs if part is not None and whole]
    return f" ({' and '.join(told)} of the original)" if told else ""


def _said_of(layer: LayerExplanation) -> str:
    said = []
    if layer.coupled_to:
        said.append(f"coupled to {', '.join(layer.coupled_to)}")
    if layer.locked is not None:
        said.append(f"{'partly locked' if layer.prunable else 'locked'}: {layer.locked}")
    return "; ".join(said)
