"""Rows of different lengths in one flat array with offsets, in memory or mapped from disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class Ragged:
    """Rows of different lengths, flat: row `i` is `values[offsets[i]:offsets[i + 1]]`.

    Args:
        values: (total, ...) all rows one after the other.
        offsets: (rows + 1,) int64, where each row begins and ends.
    """

    def __init__(self, values: Array, offsets: Array) -> None:
        self.values = values
        self.offsets = offsets

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any] | Array], dtype: DTypeLike, width: int | None = None) -> Ragged:
        """Packs rows of scalars, or (with `width`) rows of vectors of that many numbers."""
        lengths = [len(row) for row in rows]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        shape = (int(offsets[-1]),) if width is None else (int(offsets[-1]), width)
        values = np.empty(shape, dtype=dtype)
        for row, begin, end in zip(rows, offsets[:-1], offsets[1:], strict=True):
            if begin != end:
                values[begin:end] = row
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Array:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def lengths(self) -> Array:
        """Returns the length of each row, (rows,) int64."""
        return np.diff(self.offsets)

    def pad(self, rows: Iterable[int], time: int, fill: float, dtype: DTypeLike) -> Array:
        """Returns the chosen rows as one array (rows, time, ...), filled up with `fill` on the right."""
        chosen = list(rows)
        padded = np.full((len(chosen), time, *self.values.shape[1:]), fill, dtype=dtype)
        for position, row in enumerate(chosen):
            begin, end = self.offsets[row], self.offsets[row + 1]
            padded[position, : end - begin] = self.values[begin:end]
        return padded


class RaggedWriter:
    """Appends `Ragged` pieces to a file, so that a column larger than memory can be made and then mapped.

    Args:
        path: the file that the values go to; the offsets are kept in memory (8 bytes a row).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = open(path, "wb")  # noqa: SIM115  (closed by `finish`)
        self._lengths: list[Array] = []
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.int32)

    def append(self, piece: Ragged) -> None:
        """Writes the rows of `piece` behind those already there."""
        self._shape, self._dtype = piece.values.shape[1:], piece.values.dtype
        self._stream.write(np.ascontiguousarray(piece.values).tobytes())
        self._lengths.append(piece.lengths())

    def finish(self) -> Ragged:
        """Closes the file and returns all rows, mapped from it."""
        self._stream.close()
        lengths = np.concatenate([np.zeros(1, dtype=np.int64), *self._lengths])
        offsets = np.cumsum(lengths)
        if offsets[-1] == 0:
            return Ragged(np.empty((0, *self._shape), dtype=self._dtype), offsets)
        values = np.memmap(self._path, dtype=self._dtype, mode="r", shape=(int(offsets[-1]), *self._shape))
        return Ragged(values, offsets)
