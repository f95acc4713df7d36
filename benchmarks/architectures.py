"""The page of architectures in the documentation, from the rows of `benchmarks.zoo` alone."""

from __future__ import annotations

from typing import Any

HEAD = """\
# Architectures

Written by `python -m benchmarks.zoo`; do not edit. {where}.

All networks that `keras.applications` constructs, with random weights, randomised normalisations and their
classifier, pruned by half in {ways} ways: {ways_in_full}. A prune is proven when every output equals that of the
masked original within 1e-5, relative; it is saved, loaded and proven again.

## What goes

Params and multiply-accumulates (MACs, for one image of the default size) before, and the shares that are left.
*In reach*: the share of the channels, and of the parameters of all kernels, that lie in prunable groups.

| network | input | params | MACs | {left_heads} | channels in reach | kernels in reach | locked |
|---|---|---|---|{left_rule}---|---|---|
"""

COSTS = """
## What it costs

Seconds to build the original in Keras, to plan (trace, score, choose) and to cut; the most memory that planning and
surgery add to the process, the pruned model included, as a multiple of the original's weights; the largest relative
difference to the masked original, before and after a save; where rounding in float32 came near 1e-5, it was taken in
float64. Compare seconds within one run only.

| network | build | added memory | {cost_heads}
|---|---|---|{cost_rule}
"""


def page(rows: list[dict[str, Any]], ways: tuple[str, ...], where: str) -> str:
    """Return the page as Markdown."""
    done = [row for row in rows if "failed" not in row]
    text = HEAD.format(
        where=where,
        ways=len(ways),
        ways_in_full=" and ".join(f"`{way}`" for way in ways),
        left_heads=" | ".join(f"params, `{way}` | MACs, `{way}`" for way in ways),
        left_rule="---|---|" * len(ways),
    )
    text += "".join(_what_goes(row, ways) for row in done)
    heads = " | ".join(f"`{way}`: plan | surgery | difference | after reload" for way in ways)
    text += COSTS.format(cost_heads=f"{heads} |", cost_rule="---|---|---|---|" * len(ways))
    text += "".join(_what_it_costs(row, ways) for row in done)
    failed = [f"- {row['name']}: {row['failed']}\n" for row in rows if "failed" in row]
    return text + ("\n## Not measured\n\n" + "".join(failed) if failed else "")


def _what_goes(row: dict[str, Any], ways: tuple[str, ...]) -> str:
    left = [
        cell
        for way in ways
        for cell in (f"{row[way]['params'] / row['params']:.1%}", f"{row[way]['macs'] / row['macs']:.1%}")
    ]
    cells = [
        row["name"],
        " x ".join(str(size) for size in row["input"]),
        f"{row['params'] / 1e6:.1f} M",
        f"{row['macs'] / 1e9:.3g} G",
        *left,
        f"{row['share of channels']:.1%}",
        f"{row['share of kernels']:.1%}",
        "; ".join(_shortened(reason, paths) for reason, paths in row["locked"].items()),
    ]
    return f"| {' | '.join(cells)} |\n"


def _shortened(reason: str, paths: list[str]) -> str:
    layers = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    return reason if reason.startswith(layers) else f"{layers}: {reason}"


def _what_it_costs(row: dict[str, Any], ways: tuple[str, ...]) -> str:
    cells = [row["name"], f"{row['build s']:.2f} s", f"{row['added / weights']:.2f} x"]
    for way in ways:
        found = row[way]
        cells += [
            f"{found['plan s']:.3f} s",
            f"{found['surgery s']:.2f} s",
            f"{found['difference']:.1e}",
            f"{found['after reload']:.1e}",
        ]
    return f"| {' | '.join(cells)} |\n"
