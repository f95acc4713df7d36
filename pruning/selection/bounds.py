"""How far each channel group may shrink, and which field of the spec says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pruning.errors import NothingToPruneError, SpecError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.patterns import matches, matches_any
from pruning.rules.records import WeightAxis
from pruning.spec import PruningSpec


@dataclass(frozen=True)
class Bounds:
    """What a spec says of one channel group.

    Attributes:
        group: The group.
        wanted: Channels that it would have by now if no width had been rounded up.
        least: Fewest channels that may be left, before rounding up.
        round_to: Widths are rounded up to multiples of so many.
        ratio: Share of its channels that one prune removes; `None` where only the targets decide.
        is_own: Whether the ratio is the group's own and not the general one.
        because: What gives the ratio, or keeps the group whole, in words such as `ratio 0.5`.
        least_because: What gives `least`, in words such as `min_channels 8`.
    """

    group: ChannelGroup
    wanted: int
    least: int
    round_to: int
    ratio: float | None
    is_own: bool
    because: str
    least_because: str = ""

    @property
    def narrowest(self) -> int:
        """The narrowest width that may be left."""
        return int(self.rounded(np.array(self.least)))

    def rounded(self, widths: np.ndarray) -> np.ndarray:
        """Round widths up to what may be left."""
        up: np.ndarray = np.minimum(-(-widths // self.round_to) * self.round_to, self.group.num_channels)
        return up


def bounds(
    graph: ChannelGraph,
    spec: PruningSpec,
    wanted: Mapping[str, int] | None = None,
    at_start: Mapping[str, int] | None = None,
) -> list[Bounds]:
    """Say how far each group of a graph may shrink, in the order of `graph.groups`.

    Args:
        graph: The traced model.
        spec: What is asked.
        wanted: Group → its width so far without rounding; default: the width it has.
        at_start: Group → its width before the first iteration; default: the width it has.
    """
    made, has_patterns = [], any(spec.patterns.values())
    for group in graph.groups:
        now = group.num_channels if wanted is None else wanted[group.name]
        first = group.num_channels if at_start is None else at_start[group.name]
        paths = _paths(graph, graph.axes(group=group)) if has_patterns else []
        kept_by = _kept_by(paths, spec)
        if kept_by is not None:
            made.append(Bounds(group, group.num_channels, group.num_channels, 1, 0.0, True, kept_by))
            continue
        least, says = _least(paths, spec, first)
        made.append(Bounds(group, now, min(now, least), spec.round_to, *_ratio(group, paths, spec), says))
    return made


def shrinking(graph: ChannelGraph, spec: PruningSpec) -> tuple[str, ...]:
    """Return the names of the groups that a spec lets lose channels."""
    return tuple(
        bound.group.name
        for bound in bounds(graph, spec)
        if bound.ratio != 0 and bound.narrowest < bound.group.num_channels
    )


def require_prunable(graph: ChannelGraph, spec: PruningSpec) -> None:
    """Check that there is something to remove.

    Raises:
        NothingToPruneError: There is not.
    """
    found = bounds(graph, spec)
    if not any(bound.narrowest < bound.group.num_channels for bound in found):
        raise NothingToPruneError(
            "No channel of the model can be removed.",
            field="model" if not graph.groups else "pruning",
            received=_why_nothing(graph, found),
            expected="at least one channel group that can lose a channel",
            hint=_what_to_relax(spec) if graph.groups else None,
        )


def check_patterns(graph: ChannelGraph, spec: PruningSpec) -> None:
    """Check that each regular expression matches a layer that makes or scales channels, or is locked.

    Raises:
        SpecError: One does not.
    """
    if not any(spec.patterns.values()):
        return
    paths = [path for path, _ in graph.records.layers.values()]
    having = dict.fromkeys([*_paths(graph, graph.axes()), *graph.locked])
    for field, patterns in spec.patterns.items():
        for pattern in patterns:
            if not matches_any([pattern], having):
                matched = [path for path in paths if matches(pattern, path)]
                raise SpecError(
                    f"The pattern {pattern!r} matches only layers that neither make nor scale channels."
                    if matched
                    else f"The pattern {pattern!r} matches no layer.",
                    field=f"pruning.{field}",
                    received=f"{pattern}, which is {', '.join(matched[:5])}" if matched else pattern,
                    expected=f"a regular expression for whole layer paths such as {', '.join(list(having)[:5])}",
                    hint="Patterns match whole paths; write '.*conv.*' to find a part, and 'nested/.*' for "
                    "all layers of a nested model.",
                )


def _kept_by(paths: Sequence[str], spec: PruningSpec) -> str | None:
    """Return what keeps a group whole, `None` if nothing does."""
    for field in ("exclude", "freeze"):
        for pattern in spec.patterns[field]:
            if matches_any([pattern], paths):
                return f"{field} {pattern!r}"
    return "not in include" if spec.include and not matches_any(spec.include, paths) else None


def _paths(graph: ChannelGraph, axes: Iterable[WeightAxis]) -> list[str]:
    """Return the paths of the layers that make or scale channels along weight axes; not of those that only read."""
    return [graph.records.layers[id(axis.layer)][0] for axis in axes if axis.role != "in"]


def _least(paths: Sequence[str], spec: PruningSpec, num_at_start: int) -> tuple[int, str]:
    """Return the fewest channels that a group may keep, and what says so."""
    by_layer = [
        (least, f"min_channels_by_layer {pattern!r} {least}")
        for pattern, least in spec.min_channels_by_layer.items()
        if matches_any([pattern], paths)
    ]
    least, says = max(by_layer, default=(spec.min_channels, f"min_channels {spec.min_channels}"))
    if spec.max_ratio is not None:
        return max((num_at_start - int(spec.max_ratio * num_at_start), f"max_ratio {spec.max_ratio:g}"), (least, says))
    return least, says


def _ratio(group: ChannelGroup, paths: Sequence[str], spec: PruningSpec) -> tuple[float | None, bool, str]:
    """Return ratio, whether it is the group's own, and what gives it: a pattern, else the width, else the general one.

    The ratio is `None` where a target decides.
    """
    by_layer = [(ratio, pattern) for pattern, ratio in spec.ratios.items() if matches_any([pattern], paths)]
    if by_layer:
        ratio, pattern = min(by_layer)
        return ratio, True, f"ratios {pattern!r} {ratio:g}"
    by_width = [row for row in spec.ratios_by_width if row.min_channels <= group.num_channels]
    if by_width:
        row = max(by_width, key=lambda row: row.min_channels)
        return row.ratio, True, f"ratios_by_width {row.ratio:g} from {row.min_channels}"
    if spec.ratio is not None:
        return spec.ratio, False, f"ratio {spec.ratio:g}"
    if spec.targets or spec.max_filters_removed is not None:
        return None, False, ""
    return 0.0, True, "no ratio is given for it"


def _why_nothing(graph: ChannelGraph, found: Sequence[Bounds]) -> str:
    """Return why each group and each layer stays as it is."""
    reasons = {bound.group.name: _why_whole(bound) for bound in found} | dict(graph.locked)
    return "; ".join(f"{name}: {why}" for name, why in reasons.items()) or "no layer that makes channels"


def _why_whole(bound: Bounds) -> str:
    num_channels = bound.group.num_channels
    if num_channels == 1:
        return "it has one channel"
    if bound.least >= num_channels:
        return bound.least_because or bound.because
    return f"round_to {bound.round_to} gives all its {num_channels} channels"


def _what_to_relax(spec: PruningSpec) -> str | None:
    """Return a hint that names the fields that are set, or `None` if none of them is."""
    names = ("include", "exclude", "freeze", "min_channels", "min_channels_by_layer", "max_ratio", "round_to")
    at_default = {name: PruningSpec.model_fields[name].get_default(call_default_factory=True) for name in names}
    is_set = [name for name in names if getattr(spec, name) != at_default[name]]
    return f"Relax {' or '.join(is_set)}." if is_set else None
