"""How much the loss changes when a channel is removed, by the masked original of the proof, a pass for each channel.

Slow, and right wherever the proof is: where channels are left out of a mean, a norm or a softmax as well.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.models import require_graph
from pruning.proof.masking import Mask, run
from pruning.scoring.calibration import Calibration
from pruning.scoring.observation import Means, Measure


def measure_masked(
    graph: ChannelGraph, group: ChannelGroup, size: int, calibration: Calibration, measure: Measure
) -> np.ndarray:
    """Return the mean of a measure of how much each sample's loss grows without a channel, shape `(num_channels,)`.

    Args:
        graph: The traced model.
        group: One of its groups.
        size: Samples in a batch.
        calibration: The samples and the loss.
        measure: `(growth of shape (samples, num_channels)) -> figures of the same shape`.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """
    loss, structure = calibration.loss(), require_graph(graph.model)._inputs_struct
    channels = np.arange(group.num_channels)
    means = Means([group], calibration)
    for count, (x, y) in calibration.batches(size, calibration.x, calibration.y):
        inputs = keras.tree.pack_sequence_as(structure, x)
        targets = [keras.ops.convert_to_tensor(each) for each in y]

        def losses(mask: Mask, inputs: Any = inputs, targets: list[Any] = targets) -> np.ndarray:
            outputs = [keras.ops.convert_to_tensor(each, "float32") for each in run(graph.model, mask, inputs)]
            return np.asarray(keras.ops.convert_to_numpy(loss(targets, outputs)), dtype=np.float64)

        whole, without = losses(Mask()), []
        for channel in channels:
            stays = graph.stays({group.name: np.delete(channels, channel)})
            without.append(losses(Mask.of(graph, stays)))
            share = (means.num_samples + count * len(without) / len(channels)) / calibration.num_samples
            calibration.on_share(share)
        means.add(count, [measure((np.stack(without, axis=1) - whole[:, np.newaxis])[:count])])
    return means.result()[group.name]
