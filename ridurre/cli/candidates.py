"""Tables of the candidates of a run, read from a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from pruning.figures import VALIDATION
from ridurre.cli.literal import literal
from ridurre.cli.table import spoken

SIZES = {"target_params": "params", "target_macs": "macs", "target_file_bytes": "file_bytes"}
"""Target → the figure of a candidate that it limits."""
NUM_NEAREST = 3


def is_compared(report: Mapping[str, Any]) -> bool:
    """Tell whether a run made several models to choose from or to compare with: by trials, not by iterations alone."""
    candidates = report.get("candidates") or ()
    return len({each.get("trial") for each in candidates}) > 1


def compared(report: Mapping[str, Any]) -> Table:
    """Return a table of all candidates, the smallest first, and of the baselines over their seeds."""
    table, rows = _Rows.of(report, "Candidates, smallest first"), report["candidates"]
    for each in sorted((each for each in rows if not each.get("baseline")), key=_size):
        table.add(each)
    table.table.add_section()
    for baseline in report.get("baselines") or ():
        own = [each for each in rows if each.get("baseline") == baseline["method"]]
        table.add_baseline(baseline, own)
    return table.table


def nearest(report: Mapping[str, Any]) -> Table:
    """Return a table of the candidates that miss the limits by least; by shares of the limits, added up."""
    table = _Rows.of(report, "Nearest candidates")
    offered = (each for each in report.get("candidates") or () if not each.get("baseline"))
    for each in sorted(offered, key=lambda each: _excess(report, each))[:NUM_NEAREST]:
        table.add(each)
    return table.table


class _Rows:
    """A table that grows by candidates."""

    def __init__(self, report: Mapping[str, Any], title: str) -> None:
        self._report = report
        self._metric = _watched(report)
        self._size = "params" if report["steps"][0].get("macs") is None else "macs"
        self.table = Table(title=title, title_justify="left")
        self.table.add_column("", overflow="fold")
        size = "MACs left" if self._size == "macs" else "parameters left"
        for heading in (size, literal(spoken(self._metric)) if self._metric else "metric", "drop"):
            self.table.add_column(heading, justify="right", no_wrap=True)
        self.table.add_column("")

    @classmethod
    def of(cls, report: Mapping[str, Any], title: str) -> _Rows:
        return cls(report, title)

    def add(self, candidate: Mapping[str, Any]) -> None:
        """Add a row for a candidate."""
        marks = {
            "delivered": candidate["name"] == self._report.get("delivered"),
            "front": candidate["name"] in (self._report.get("front") or ()),
            "misses the limits": not candidate.get("meets_limits", True),
        }
        metric, drop = (candidate.get("metrics") or {}).get(self._metric), candidate.get("drop")
        self.table.add_row(
            literal(candidate["name"]),
            self._left([candidate]),
            "-" if metric is None else f"{metric:.4f}",
            "-" if drop is None else f"{drop:+.4f}",
            ", ".join(mark for mark, holds in marks.items() if holds),
            style="bold" if marks["delivered"] else "",
        )

    def add_baseline(self, baseline: Mapping[str, Any], candidates: list[Mapping[str, Any]]) -> None:
        """Add a row for what a baseline came to, over its seeds."""
        self.table.add_row(
            literal(f"baseline {baseline['method']}"),
            self._left(candidates),
            f"{baseline['mean']:.4f} ± {baseline['std']:.4f}",
            "-",
            f"{len(baseline['values'])} seed{'' if len(baseline['values']) == 1 else 's'}",
        )

    def _left(self, candidates: Iterable[Mapping[str, Any]]) -> str:
        """Return the share of the original that is left, on average."""
        sizes = [each[self._size] for each in candidates if each.get(self._size) is not None]
        return f"{100 * sum(sizes) / len(sizes) / self._report['steps'][0][self._size]:.1f} %" if sizes else "-"


def _watched(report: Mapping[str, Any]) -> str:
    """Return the figure that candidates are compared by: that of the spec, else the first metric, else the loss."""
    measured = (report["steps"][0].get("metrics") or {}).keys()
    asked = (report.get("pruning") or {}).get("metric")
    if asked is not None:
        return str(asked) if asked in measured else f"{VALIDATION}{asked}"
    return next((name for name in measured if name != f"{VALIDATION}loss"), next(iter(measured), ""))


def _size(candidate: Mapping[str, Any]) -> tuple[float, float]:
    macs = candidate.get("macs")
    return candidate["params"] if macs is None else macs, candidate["params"]


def _excess(report: Mapping[str, Any], candidate: Mapping[str, Any]) -> float:
    """Return by which shares of them a candidate is beyond the limits, added up."""
    asked, original = report.get("pruning") or {}, report["steps"][0]
    excess = 0.0
    for target, figure in SIZES.items():
        if asked.get(target) is not None and candidate.get(figure) is not None:
            most = asked[target] * original[figure] if asked[target] < 1 else asked[target]
            excess += max(0.0, candidate[figure] / most - 1)
    most_drop, drop = asked.get("max_metric_drop"), candidate.get("drop")
    if most_drop is not None and drop is not None:
        excess += max(0.0, drop / most_drop - 1)
    return excess
