"""How much the loss changes when a channel is removed, by the masked original of the proof, a pass for each channel.

Slow, and right wherever the proof is: where channels are left out of a mean, a norm or a softmax as well.
"""

from __future__ import annotations

import keras
import numpy as np

from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.keras_model.graph import pack_inputs
from pruning.proof.masking import Mask, run
from pruning.scoring.batched import BatchedTrials
from pruning.scoring.calibration import Calibration


class MaskedTrials(BatchedTrials):
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
        super().__init__(calibration, size)
        self._graph, self._group, self._loss = graph, group, calibration.loss()

    def _batch(self, channels: np.ndarray, samples: np.ndarray, num_new: int) -> np.ndarray:
        inputs = pack_inputs(self._graph.model, [array[samples] for array in self._calibration.x.values()])
        targets = [keras.ops.convert_to_tensor(array[samples]) for array in self._targets]
        losses: list[np.ndarray] = []
        for channel in channels:
            outputs = run(self._graph.model, self._mask(int(channel)), inputs)
            tensors = [keras.ops.convert_to_tensor(each, "float32") for each in outputs]
            losses.append(np.asarray(keras.ops.convert_to_numpy(self._loss(targets, tensors)), dtype=np.float64))
            self._tell(num_new, len(losses) / len(channels))
        return np.stack(losses, axis=1)

    def _mask(self, channel: int) -> Mask:
        if channel == self._group.num_channels:
            return Mask()
        keep = np.delete(np.arange(self._group.num_channels), channel)
        return Mask.of(self._graph, self._graph.stays({self._group.name: keep}))
