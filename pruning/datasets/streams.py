"""Data that comes batch by batch, written to disk once and mapped."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import keras
import numpy as np

from pruning.errors import DataError

_BATCH = "(x, y), (x, y, sample_weight) or x, each an array of samples, or a dict or tuple of such arrays"


def is_stream(value: Any) -> bool:
    """Tell whether something gives batches: a `PyDataset`, a `tf.data.Dataset`, a generator, a data loader."""
    if isinstance(value, keras.utils.PyDataset):
        return True
    is_array = hasattr(value, "__array__") or isinstance(value, Mapping | tuple | list | str | bytes)
    return hasattr(value, "__iter__") and not is_array


def spooled(stream: Any, split: str) -> dict[str, Any]:
    """Read a stream to its end.

    Args:
        stream: Gives batches of samples, and ends.
        split: `train` or `val`.

    Returns:
        `x_<split>` and, if there are any, `y_<split>` and `sample_weight_train`: arrays that lie in files without
        names, which go with them.

    Raises:
        DataError: It does not end, gives something else, or batches that do not fit each other.
    """
    names = (f"x_{split}", f"y_{split}", f"sample_weight_{split}")
    spools: dict[str, dict[str, _Spool]] = {}
    for batch in _batches(stream):
        parts = batch if isinstance(batch, tuple | list) and len(batch) <= len(names) else (batch,)
        given = {name: _leaves(part) for name, part in zip(names, parts, strict=False) if part is not None}
        spools = spools or {name: {key: _Spool(name) for key in leaves} for name, leaves in given.items()}
        if _keys(given) != _keys(spools):
            raise _unfit(names[0], f"{_keys(given)} after {_keys(spools)}")
        lengths = {spools[name][key].append(leaf) for name, leaves in given.items() for key, leaf in leaves.items()}
        if len(lengths) > 1:
            raise _unfit(names[0], f"{' and '.join(map(str, sorted(lengths)))} samples in one batch")
    if not spools:
        raise DataError("The data has no batches.", field=f"dataset.{names[0]}", received="nothing", expected=_BATCH)
    if names[2] in spools and split != "train":
        raise DataError(
            "Sample weights are not supported for the validation set.",
            field=f"dataset.{names[2]}",
            received="sample weights",
            expected="batches (x, y)",
        )
    return {name: _packed({key: spool.mapped() for key, spool in each.items()}) for name, each in spools.items()}


def _leaves(part: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a part by name, by place, or the one under the name `""`."""
    if isinstance(part, Mapping):
        return {str(name): np.asarray(array) for name, array in part.items()}
    if isinstance(part, tuple | list):
        return {f"#{place}": np.asarray(array) for place, array in enumerate(part)}
    return {"": np.asarray(part)}


def _keys(parts: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name}.{key}" if key else name for name, leaves in parts.items() for key in sorted(leaves))


def _packed(arrays: dict[str, np.ndarray]) -> Any:
    if list(arrays) == [""]:
        return arrays[""]
    return list(arrays.values()) if all(key.startswith("#") for key in arrays) else arrays


def _batches(stream: Any) -> Iterable[Any]:
    if isinstance(stream, keras.utils.PyDataset):
        if stream.num_batches is None:
            raise _endless(stream)
        return _by_number(stream, stream.num_batches)
    cardinality = getattr(stream, "cardinality", None)
    if callable(cardinality) and int(cardinality()) == -1:  # What TensorFlow calls INFINITE_CARDINALITY.
        raise _endless(stream)
    batches: Iterable[Any] = stream
    return batches


def _by_number(dataset: keras.utils.PyDataset, num_batches: int) -> Iterator[Any]:
    for index in range(num_batches):
        yield dataset[index]


class _Spool:
    """Samples that are written one batch after the other, and mapped in the end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # It lives as long as what is mapped.
        self._shape: tuple[int, ...] | None = None
        self._dtype = np.dtype(np.float32)
        self._num_samples = 0

    def append(self, samples: np.ndarray) -> int:
        """Add a batch and return how many samples it has.

        Raises:
            DataError: It is none, holds no numbers, or samples of another shape or type than the one before.
        """
        if samples.dtype.name == "bfloat16":  # NumPy's files know no such numbers.
            samples = samples.astype(np.float32)
        if samples.ndim == 0 or samples.dtype.kind not in "fiub":
            raise _unfit(self._name, f"a {samples.dtype} of shape {samples.shape}")
        if self._shape is None:
            self._shape, self._dtype = samples.shape[1:], samples.dtype
        if (samples.shape[1:], samples.dtype) != (self._shape, self._dtype):
            now, before = (f"{dtype} of shape {shape}" for dtype, shape in (
                (samples.dtype, samples.shape[1:]), (self._dtype, self._shape),
            ))  # fmt: skip
            raise _unfit(self._name, f"samples of {now} after samples of {before}")
        self._file.write(np.ascontiguousarray(samples).data)
        self._num_samples += len(samples)
        return len(samples)

    def mapped(self) -> np.ndarray:
        """Return all samples, which stay on disk until the array is gone."""
        self._file.flush()
        shape = (self._num_samples, *(self._shape or ()))
        if not all(shape):
            return np.empty(shape, self._dtype)
        return np.memmap(self._file, self._dtype, "r", 0, shape)


def _unfit(name: str, received: str) -> DataError:
    return DataError(
        "The batches do not match each other or are invalid.",
        field=f"dataset.{name}",
        received=received,
        expected=_BATCH,
        hint="Pass batches as to model.fit, for example dataset.batch(64) of tf.data.",
    )


def _endless(stream: Any) -> DataError:
    return DataError(
        "The data is infinite.",
        field="dataset",
        received=f"{type(stream).__name__} without a length",
        expected="batches that end",
        hint="Pass the dataset before repeat(), or use dataset.take(n).",
    )
