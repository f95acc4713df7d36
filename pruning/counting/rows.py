"""The layers of a plan, as rows."""

from __future__ import annotations

from collections.abc import Mapping

from pruning.counting.costs import Costs
from pruning.graph.groups import ChannelGraph, Keep
from pruning.plan import LayerPlan


def plan_layers(
    graph: ChannelGraph, costs: Costs, keep: Keep, why: Mapping[str, str] | None = None
) -> tuple[LayerPlan, ...]:
    """Return one row for each layer that has weights, before and after a prune.

    Args:
        graph: The traced model.
        costs: What it costs.
        keep: What stays of it.
        why: Group → what decides how many of its channels stay.
    """
    after, widths = graph.stays(keep), graph.widths_with(keep)
    params_before, params_after = costs.params_by_layer(graph.widths), costs.params_by_layer(widths)
    macs_before, macs_after = costs.macs_by_layer(graph.widths), costs.macs_by_layer(widths)
    rows = []
    for path, layer in graph.records.layers.values():
        if path not in params_before:
            continue
        own = [axis for axis in graph.axes_of(layer) if axis.role != "in"]
        locked = graph.locked.get(path)
        groups = graph.groups_on(own[-1]) if own else ()
        reasons = [locked or "", *((why or {}).get(group.name, "") for group in groups)]
        rows.append(
            LayerPlan(
                path=path,
                kind=type(layer).__name__,
                channels_before=len(own[-1].labels) if own else None,
                channels_after=int(after[own[-1].labels].sum()) if own else None,
                params_before=params_before[path],
                params_after=params_after[path],
                macs_before=macs_before.get(path, 0),
                macs_after=macs_after.get(path, 0),
                locked=locked,
                why="; ".join(dict.fromkeys(filter(None, reasons))),
            )
        )
    return tuple(rows)
