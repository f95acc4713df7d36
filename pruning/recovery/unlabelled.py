"""Recovery with samples that have no targets: nothing can be trained or measured, but much repaired."""

from __future__ import annotations

import numpy as np

from pruning.datasets.data import Data
from pruning.datasets.rows import rows_of, taken
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.graph import fixed_batch_size
from pruning.recovery.held_out import MAX_RECONSTRUCTED, held_apart
from pruning.recovery.repair import output_error, repair
from pruning.report import Repair
from pruning.spec import PruningSpec, TrainingSpec


class UnlabelledRecovery:
    """Repairs the models of one job by what the original makes of some samples.

    Args:
        training: Seed and batch size.
        data: Data that fits the model.
    """

    def __init__(self, training: TrainingSpec, data: Data) -> None:
        self._training = training
        self._data = data

    def repair(self, graph: ChannelGraph, small: ChannelGraph, stays: np.ndarray, spec: PruningSpec) -> Repair:
        """Do to a model right after a prune what brings its outputs nearest to the original's; see `repair`."""
        measured, held_out = held_apart(self._data.num_train, self._training.seed)
        fixed = fixed_batch_size(graph.model)
        size = fixed or self._training.measuring_batch_size
        if fixed is not None:
            measured, held_out = (np.resize(each, -(-len(each) // fixed) * fixed) for each in (measured, held_out))
        return repair(
            graph,
            small,
            stays,
            rows_of(self._data.x_train, measured[:MAX_RECONSTRUCTED]),
            error=output_error(graph, taken(self._data.x_train, held_out), size),
            batches=(
                list(taken(self._data.x_train, measured[start : start + size]).values())
                for start in range(0, len(measured), size)
            ),
            spec=spec,
        )
