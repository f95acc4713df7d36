"""What criteria look at: samples, and the loss that they are trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from pruning.datasets.data import Arrays, Data
from pruning.datasets.rows import taken
from pruning.keras_model.graph import outputs_by_name, pack_inputs, require_graph
from pruning.keras_model.masks import mask_of
from pruning.keras_model.tensors import BackendTensor
from pruning.spec import TrainingSpec
from pruning.training.compiling import Compiling

OnShare = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1."""

SampleLosses = Callable[[list[BackendTensor], list[BackendTensor]], BackendTensor]
"""`(targets, outputs) -> loss of each sample`."""

_MASK_BATCH = 64


def _ignore(share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Calibration:
    """Training samples, a bounded number of them.

    Attributes:
        x: Inputs by name, in the order of the model's.
        batch_size: Samples in a batch; `None` chooses by the size of the activations.
        on_share: Told how far the measuring is.
        is_labelled: Whether the samples have targets.
    """

    x: Arrays
    _y: Callable[[], Arrays] = field(repr=False)
    _compiling: Callable[[], Compiling] = field(repr=False)
    batch_size: int | None = None
    on_share: OnShare = _ignore
    is_labelled: bool = True

    @classmethod
    def of(
        cls,
        model: keras.Model,
        data: Any,
        *,
        num_samples: int,
        seed: int,
        compiling: Compiling | None = None,
        batch_size: int | None = None,
        on_share: OnShare = _ignore,
    ) -> Calibration:
        """Draw samples from the training set.

        Args:
            model: What the samples are for.
            data: What `Data.of` takes.
            num_samples: How many to draw, at most.
            seed: Seed of the draw.
            compiling: Where the loss comes from; `None`: what the model is compiled with, or what fits the data.
            batch_size: See above.
            on_share: See above.

        Raises:
            DataError: The data does not fit the model.
        """
        drawn = Data.of(data).fit_to(model).subset(num_samples, seed)
        x = taken(drawn.x_train, np.arange(drawn.num_train))

        def settings() -> Compiling:
            return Compiling(model, TrainingSpec(), drawn) if compiling is None else compiling

        def targets() -> Arrays:
            weights = _mask_weights(model, x)
            return taken(settings().fit_targets(drawn).y_train, np.arange(drawn.num_train)) | {
                f"mask of {name}": each for name, each in weights.items()
            }

        return cls(x, targets, settings, batch_size, on_share, drawn.is_labelled)

    def within(self, begin: float, end: float) -> Calibration:
        """Return the same samples for work that is only a part of the whole, from one share of it to another."""
        return replace(self, on_share=lambda share: self.on_share(begin + share * (end - begin)))

    @property
    def num_samples(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.x.values())))

    @property
    def y(self) -> Arrays:
        """Targets by name, in the form that the loss takes, and behind them what masked outputs' entries count.

        Raises:
            SpecError: There is no loss, and none can be inferred.
            DataError: The targets do not fit the loss.
        """
        return self._y()

    def loss(self) -> SampleLosses:
        """Return `(targets, outputs) -> loss of each sample`.

        Raises:
            SpecError: There is no loss, and none can be inferred.
        """
        return self._compiling().sample_losses()

    def batches(self, size: int, *arrays: Arrays) -> Iterator[tuple[int, list[list[np.ndarray]]]]:
        """Yield batches of one size: the number of samples that count, and for each argument its arrays.

        The last batch is filled up with samples that do not count, so that a compiled function sees one shape.
        """
        for start in range(0, self.num_samples, size):
            chosen = np.minimum(np.arange(start, start + size), self.num_samples - 1)
            count = min(size, self.num_samples - start)
            yield count, [[array[chosen] for array in part.values()] for part in arrays]


def _mask_weights(model: keras.Model, inputs: Arrays) -> Arrays:
    """Return what each entry counts in the losses of outputs on which Keras hangs a mask, by the outputs' names.

    As in Keras, what is masked has 0, and the rest the same weight, 1 on average over all.
    """
    tensors = outputs_by_name(model)
    masked = [index for index, tensor in enumerate(tensors.values()) if mask_of(tensor) is not None]
    if not masked:
        return {}
    size = require_graph(model).inputs[0].shape[0] or _MASK_BATCH
    num_samples, parts = len(next(iter(inputs.values()))), []
    for start in range(0, num_samples, size):
        rows = np.minimum(np.arange(start, start + size), num_samples - 1)
        outputs = model(pack_inputs(model, [array[rows] for array in inputs.values()]))
        hung = [mask_of(output) for output in keras.tree.flatten(outputs)]
        parts.append([np.asarray(keras.ops.convert_to_numpy(hung[index]), dtype=np.float32) for index in masked])
    found = [np.concatenate(each)[:num_samples] for each in zip(*parts, strict=True)]
    return {list(tensors)[index]: mask / max(mask.mean(), 1e-7) for index, mask in zip(masked, found, strict=True)}
