"""Faults put into the library on purpose, one at a time; the tests have to find every one.

    python -m tests.mutations [NAME…]

runs the tests of the library once for each fault, and says which of them found it.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pytest

from pruning.graph import groups
from pruning.proof import reference
from pruning.rules import RULES
from pruning.rules.records import Records, WeightAxis

SUITE = ("tests/pruning/test_rules.py", "tests/pruning/surgery", "tests/pruning/proof")


@dataclass(frozen=True)
class Mutation:
    """One fault.

    Attributes:
        name: What is broken.
        apply: Breaks it, until the monkeypatch is undone.
        caught_by: Row of `tests/pruning/rule_rows.py`, or name of a test that goes with it, that finds it.
    """

    name: str
    apply: Callable[[pytest.MonkeyPatch], None]
    caught_by: str


def _records(change: Callable[[Records], None]) -> Callable[[pytest.MonkeyPatch], None]:
    """Change what tracing says."""

    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        trace = groups.trace

        def changed(model: keras.Model) -> Records:
            records = trace(model)
            change(records)
            return records

        monkeypatch.setattr(groups, "trace", changed)

    return apply


def _without_ties(kind: str) -> Callable[[pytest.MonkeyPatch], None]:
    def change(records: Records) -> None:
        records.ties = [tie for tie in records.ties if not re.search(kind, tie[2])]

    return _records(change)


def _rolled(layer: type, variable: str, axis: int) -> Callable[[pytest.MonkeyPatch], None]:
    """Cut a weight of a kind of layer one place further along an axis."""

    def broken(known: WeightAxis) -> bool:
        owned = known.layer.variables[known.variable_index]
        return isinstance(known.layer, layer) and owned.name == variable and known.axis == axis % len(owned.shape)

    def change(records: Records) -> None:
        records.axes = {
            key: replace(known, labels=np.roll(known.labels, 1)) if broken(known) else known
            for key, known in records.axes.items()
        }

    return _records(change)


def _rule(kind: type, change: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: monkeypatch.setitem(RULES, kind, change(RULES[kind]))


def _tiled_depths(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tiling:
        repeat = staticmethod(np.tile)

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

    monkeypatch.setattr(importlib.import_module("pruning.rules.convolution"), "np", Tiling())


def _outputs_free(records: Records) -> None:
    records.fixed = [(labels, reason) for labels, reason in records.fixed if "is an output" not in reason]


def _widths_kept(records: Records) -> None:
    records.widths = {}


def _reads_forgotten(records: Records) -> None:
    records.reads = {}


def _arguments_kept(records: Records) -> None:
    records.arguments = {}


def _arguments_rolled(records: Records) -> None:
    records.arguments = {
        key: replace(argument, parts=tuple(np.roll(part, 1) for part in argument.parts))
        for key, argument in records.arguments.items()
    }


def _settings_kept(records: Records) -> None:
    records.settings = {}


L = keras.layers
MUTATIONS = (
    Mutation("an Add does not tie its inputs", _without_ties("^add"), "test_merges"),
    Mutation("conv groups are not tied", _without_ties("^conv2d"), "Conv2D in conv groups"),
    Mutation("kernels lose the wrong filters", _rolled(L.Conv2D, "kernel", -1), "Conv2D"),
    Mutation("kernels read the wrong channels", _rolled(L.Conv2D, "kernel", -2), "Conv2D"),
    Mutation("biases are cut one off", _rolled(L.Conv2D, "bias", 0), "Conv2D"),
    Mutation("dense kernels read the wrong features", _rolled(L.Dense, "kernel", 0), "Dense"),
    Mutation("transposed kernels lose the wrong filters", _rolled(L.Conv2DTranspose, "kernel", -2), "Conv2DTranspose"),
    Mutation("depthwise kernels are cut one off", _rolled(L.DepthwiseConv2D, "kernel", -2), "DepthwiseConv2D"),
    Mutation("outputs of a depth multiplier in another order", _tiled_depths, "DepthwiseConv2D"),
    Mutation("gamma is cut one off", _rolled(L.BatchNormalization, "gamma", 0), "BatchNormalization"),
    Mutation("beta is cut one off", _rolled(L.BatchNormalization, "beta", 0), "BatchNormalization"),
    Mutation("moving means are cut one off", _rolled(L.BatchNormalization, "moving_mean", 0), "BatchNormalization"),
    Mutation(
        "moving variances are cut one off", _rolled(L.BatchNormalization, "moving_variance", 0), "BatchNormalization"
    ),
    Mutation("slopes are cut one off", _rolled(L.PReLU, "alpha", -1), "PReLU"),
    Mutation(
        "flattened channels in the order of positions",
        _rule(L.Flatten, lambda rule: lambda *call: [np.sort(labels) for labels in rule(*call)]),
        "Flatten",
    ),
    Mutation(
        "concatenated the other way round",
        _rule(
            L.Concatenate,
            lambda rule: lambda context, layer, inputs, shapes: rule(context, layer, inputs[::-1], shapes),
        ),
        "test_concatenation_along_any_axis",
    ),
    Mutation("outputs of the model are pruned", _records(_outputs_free), "Conv2D"),
    Mutation("widths in the config stay", _records(_widths_kept), "Conv2D"),
    Mutation(
        "removed channels count in a mean",
        lambda monkeypatch: monkeypatch.setattr(reference, "REFERENCES", {}),
        "LayerNormalization",
    ),
    Mutation("removed channels are read by a norm", _records(_reads_forgotten), "RMSNormalization"),
    Mutation("removed channels are read by a product", _records(_reads_forgotten), "matmul with a constant"),
    Mutation("gamma of all channels is cut one off", _rolled(L.LayerNormalization, "gamma", 0), "LayerNormalization"),
    Mutation("beta of a group is cut one off", _rolled(L.GroupNormalization, "beta", 0), "GroupNormalization"),
    Mutation("groups of channels are not tied", _without_ties("^group_norm"), "GroupNormalization"),
    Mutation("bounds of slices stay", _records(_arguments_kept), "slices"),
    Mutation("constants are cut one off", _records(_arguments_rolled), "a constant for each channel"),
    Mutation("tensors are cut one off", _records(_arguments_rolled), "a tensor for each channel"),
    Mutation(
        "masks are lost on the way",
        lambda monkeypatch: monkeypatch.setattr(reference, "with_mask", lambda tensor, mask: tensor),
        "test_masks_that_keras_hangs_on_tensors_are_passed_on",
    ),
    Mutation("places to split at stay", _records(_settings_kept), "split at places"),
    Mutation("scales in the config are not cut", _records(_settings_kept), "Rescaling by channel"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option by which this module, loaded as a plug-in, breaks the library."""
    parser.addoption("--mutation", choices=[mutation.name for mutation in MUTATIONS])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Break the library for the whole run."""
    mutation = next(mutation for mutation in MUTATIONS if mutation.name == session.config.getoption("--mutation"))
    mutation.apply(pytest.MonkeyPatch())


def main(names: list[str]) -> int:
    """Run the tests of the library for each mutation; return how many were not caught."""
    missed = 0
    for mutation in MUTATIONS:
        if names and mutation.name not in names:
            continue
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "tests.mutations", "--mutation", mutation.name]
        done = subprocess.run([*command, *SUITE], capture_output=True, text=True, check=False)
        found = re.search(r"^(FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        missed += done.returncode != 1
        print(f"{mutation.name}: {found[2] if found else 'NOT CAUGHT'}", flush=True)  # noqa: T201
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
