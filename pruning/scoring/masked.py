"""How much the loss changes when a channel is removed, by the masked original of the proof, a pass for each channel.

Slow, and right wherever the proof is: where channels are left out of a mean, a norm or a softmax as well.
"""

from __future__ import annotations

from functools import cached_property

import keras
import numpy as np

from pruning.criteria.base import Trials
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.models import require_graph
from pruning.proof.masking import Mask, run
from pruning.scoring.calibration import Calibration


class MaskedTrials(Trials):
    """The trials of channels that only the masked original can be without.

    Args:
        graph: The traced model.
        group: One of its groups.
        size: Samples in a batch.
        calibration: The samples and the loss.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """

    def __init__(self, graph: ChannelGraph, group: ChannelGroup, size: int, calibration: Calibration) -> None:
        self.num_samples, self.size = calibration.num_samples, size
        self._graph, self._group, self._calibration, self._done = graph, group, calibration, 0
        self._loss = calibration.loss()

    @cached_property
    def _targets(self) -> list[np.ndarray]:
        return list(self._calibration.y.values())

    def losses(self, channels: np.ndarray, samples: np.ndarray) -> np.ndarray:
        losses = np.zeros((len(samples), len(channels)))
        for start in range(0, len(samples), self.size):
            batch = samples[start : start + self.size]
            losses[start : start + self.size] = self._batch(channels, batch)
            self._done += len(batch)
        return losses

    def _batch(self, channels: np.ndarray, samples: np.ndarray) -> np.ndarray:
        chosen = samples[np.minimum(np.arange(self.size), len(samples) - 1)]
        structure = require_graph(self._graph.model)._inputs_struct
        inputs = keras.tree.pack_sequence_as(structure, [array[chosen] for array in self._calibration.x.values()])
        targets = [keras.ops.convert_to_tensor(array[chosen]) for array in self._targets]
        losses: list[np.ndarray] = []
        for channel in channels:
            outputs = run(self._graph.model, self._mask(int(channel)), inputs)
            tensors = [keras.ops.convert_to_tensor(each, "float32") for each in outputs]
            losses.append(np.asarray(keras.ops.convert_to_numpy(self._loss(targets, tensors)), dtype=np.float64))
            share = (self._done + len(samples) * len(losses) / len(channels)) / self.num_samples
            self._calibration.on_share(share)
        tried: np.ndarray = np.stack(losses, axis=1)[: len(samples)]
        return tried

    def _mask(self, channel: int) -> Mask:
        if channel == self._group.num_channels:
            return Mask()
        keep = np.delete(np.arange(self._group.num_channels), channel)
        return Mask.of(self._graph, self._graph.stays({self._group.name: keep}))
