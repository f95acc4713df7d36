"""What the targets of a spec come to for one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras

from pruning.counting.costs import Costs
from pruning.errors import SpecError
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.optimizer_state import has_state
from pruning.keras_model.weights import read_weights
from pruning.measure import Latency, file_size_bytes, latency
from pruning.selection.targets import Limit
from pruning.spec import LatencyTarget, PruningSpec


@dataclass(frozen=True)
class FileBytes:
    """How large a `.keras` file is for the bytes of the variables, without the optimizer's state and as delivered.

    Targets speak of the file as delivered; plans and reports reckon without the state.

    Attributes:
        overhead: Bytes of everything else than the variables.
        state_overhead: Bytes that a state takes beside its own variables.
        state_per_byte: Bytes of state for each byte of the variables: 0 where none is delivered.
    """

    overhead: float = 0.0
    state_overhead: float = 0.0
    state_per_byte: float = 0.0

    @classmethod
    def of(cls, model: keras.Model, weight_bytes: int) -> FileBytes:
        """Take apart the size of a model's file; its state is delivered if the optimizer has taken a step."""
        bare = file_size_bytes(model)
        if not model.compiled or not has_state(model.optimizer):
            return cls(bare - weight_bytes)
        state_bytes = sum(read_weights(variable).nbytes for variable in model.optimizer.variables)
        state_overhead = file_size_bytes(model, optimizer=True) - bare - state_bytes
        return cls(bare - weight_bytes, state_overhead, state_bytes / max(1, weight_bytes))

    def total(self, weight_bytes: Any) -> Any:
        """Return the size of the file without the state."""
        return self.overhead + weight_bytes

    def delivered(self, total: float) -> float:
        """Return the size as delivered of a file that has so many bytes without the state."""
        return total + self.state_overhead + self.state_per_byte * (total - self.overhead)

    def total_of(self, delivered: float) -> float:
        """Return the size without the state of a file that has so many bytes as delivered."""
        weight_bytes = (delivered - self.overhead - self.state_overhead) / (1 + self.state_per_byte)
        return self.overhead + weight_bytes


class Stopwatch:
    """Measures the latency that a target limits.

    For a share of the original's time the original is timed in turns with each model, and seconds are those that
    the model would have taken when the original was first measured: a machine that is busier now than then
    does not count against it.

    Args:
        original: The model before it is pruned.
        target: What is asked.

    Attributes:
        seconds: For one call of the original.
    """

    def __init__(self, original: keras.Model, target: LatencyTarget) -> None:
        self._target = target
        self._original = original if target.seconds is None else None
        self.seconds = latency(original, batch_size=target.batch_size, runtime=target.runtime).seconds

    def measure(self, model: keras.Model) -> Latency:
        """Measure a model."""
        target = self._target
        timed = latency(model, batch_size=target.batch_size, runtime=target.runtime, beside=self._original)
        if timed.seconds_beside is None:
            return timed
        return replace(timed, seconds=timed.seconds * self.seconds / timed.seconds_beside)


@dataclass(frozen=True)
class Baseline:
    """A model before it is pruned.

    Attributes:
        amounts: Field of each target that is given → what the model has of it; bytes without the optimizer's state.
        file_bytes: How large its file is for the bytes of its variables.
        widths: Group → its number of channels.
        stopwatch: Measures the latency that is limited, if it is.
    """

    amounts: Mapping[str, float]
    file_bytes: FileBytes
    widths: Mapping[str, int]
    stopwatch: Stopwatch | None = None

    @property
    def num_channels(self) -> int:
        """Channels of all groups."""
        return sum(self.widths.values())

    def as_asked(self, amounts: Mapping[str, float]) -> dict[str, float]:
        """Return amounts by field as the spec speaks of them: those of files as delivered."""
        changed = {name: self.file_bytes.delivered(amounts[name]) for name in amounts if name == "target_file_bytes"}
        return {**amounts, **changed}


def measure_baseline(graph: ChannelGraph, spec: PruningSpec, costs: Costs) -> Baseline:
    """Count, and where a target needs it measure, what a model has before it is pruned.

    Raises:
        SpecError: Something that a target limits cannot be counted.
    """
    amounts, file_bytes, stopwatch = {}, FileBytes(), None
    if spec.target_params is not None:
        amounts["target_params"] = float(costs.params(costs.widths))
    if spec.target_macs is not None or spec.importance_per == "mac":
        if costs.uncounted is not None:
            raise SpecError(
                "The multiply-accumulates of the model cannot be counted.",
                field="pruning.target_macs" if spec.target_macs is not None else "pruning.importance_per",
                received=f"a model in which {costs.uncounted} has an output of unknown size",
                expected="a model whose input shape is known but for the batch",
                hint="Build the model for a fixed input size, or give target_params.",
            )
        amounts["target_macs"] = float(costs.macs(costs.widths))
    if spec.target_file_bytes is not None:
        weight_bytes = int(costs.weight_bytes(costs.widths))
        file_bytes = FileBytes.of(graph.model, weight_bytes)
        amounts["target_file_bytes"] = float(file_bytes.total(weight_bytes))
    if spec.target_latency is not None:
        stopwatch = Stopwatch(graph.model, _latency_target(spec))
        amounts["target_latency"] = stopwatch.seconds
    return Baseline(
        {name: amounts[name] for name in spec.targets},
        file_bytes,
        {group.name: group.num_channels for group in graph.groups},
        stopwatch,
    )


def _latency_target(spec: PruningSpec) -> LatencyTarget:
    asked = spec.target_latency
    return asked if isinstance(asked, LatencyTarget) else LatencyTarget(share=asked)


def goals(spec: PruningSpec, baseline: Baseline) -> dict[str, float]:
    """Return field of each target → the most that may be left; of file bytes, without the optimizer's state."""
    found: dict[str, float] = {}
    whole = baseline.as_asked(baseline.amounts)
    for name, target in spec.targets.items():
        if name == "target_latency":
            asked = _latency_target(spec)
            found[name] = asked.seconds or (asked.share or 1.0) * baseline.amounts[name]
        else:
            assert not isinstance(target, LatencyTarget)
            found[name] = float(int(target * whole[name])) if target < 1 else target
            if name == "target_file_bytes":
                found[name] = baseline.file_bytes.total_of(found[name])
    return found


def limits(costs: Costs, at_most: Mapping[str, float], file_bytes: FileBytes) -> list[Limit]:
    """Return the limits that can be counted; latency is none of them.

    Args:
        costs: Of the model that is to be pruned.
        at_most: Field of a target → the most that may be left.
        file_bytes: How large a file is for the bytes of the variables.
    """
    counts = {
        "target_params": costs.params,
        "target_macs": costs.macs,
        "target_file_bytes": lambda widths: file_bytes.total(costs.weight_bytes(widths)),
    }
    return [Limit(name, at_most[name], count) for name, count in counts.items() if name in at_most]
