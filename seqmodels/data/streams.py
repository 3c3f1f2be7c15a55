"""A corpus as contiguous streams, read window by window, so that a state can be carried from one to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from seqmodels.data.batch import Batch
from seqmodels.data.encoded import IGNORED
from seqmodels.data.ragged import Array, Ragged
from seqmodels.processes import count_and_rank

# Random windows, as Merity et al. (2018) chose them in their code.
_HALF_WINDOW_PROBABILITY = 0.05
_WINDOW_DEVIATION = 5.0
_SHORTEST_WINDOW = 5


@dataclass
class StreamBatch(Batch):
    """One window of each stream: row i goes on where row i of the batch before it stopped.

    Attributes:
        resets: (batch,) bool, True where the row begins anew here, so that no state may be carried into it.
        length_ratio: steps of this window over those of the usual one, by which the learning rate is scaled.
        weight: the process's part of the steps that all processes read in this window, times their number: the mean
            over processes of the means of each, so weighted, is that over all steps. 0 where this one's streams have
            come to their ends before the others'.
    """

    resets: Tensor
    length_ratio: float
    weight: float = 1.0


class Window(NamedTuple):
    """Where each stream of this process is read next: the targets `begins[i]` to `ends[i]` of the corpus."""

    begins: Array  # (streams,) int64
    ends: Array  # (streams,) int64
    resets: Array  # (streams,) bool
    length: int  # steps of the window, of which streams at their end have fewer
    counted: Array  # (streams,) bool, False for a row that only evens out the processes
    weight: float = 1.0  # see `StreamBatch`


class StreamLayout:
    """Cuts a corpus into streams of equal length (up to one token), each contiguous; nothing is left out.

    Args:
        offsets: (documents + 1,) int64, where each document of the flat corpus begins and ends.
        streams: how many.
        reset_at_documents: whether a window ends where a document does, and the next begins anew.
    """

    def __init__(self, offsets: Array, streams: int, *, reset_at_documents: bool = False) -> None:
        total = int(offsets[-1])
        self.bounds = np.arange(streams + 1) * total // streams  # (streams + 1,)
        self.longest = int(np.diff(self.bounds).max(initial=0))
        self.starts = np.unique(np.concatenate([offsets[:-1] if reset_at_documents else [], self.bounds[:-1]])).astype(
            np.int64
        )

    def windows(self, lengths: Iterator[int]) -> Iterator[Window]:
        """Yields the windows of all streams, of the given lengths, until every stream is at its end."""
        at, stop = self.bounds[:-1].copy(), self.bounds[1:]
        while (at < stop).any():
            length = next(lengths)
            place = np.searchsorted(self.starts, at, side="right")  # the first start beyond where each stream is
            following = np.append(self.starts, self.bounds[-1])[place]
            ends = np.minimum(np.minimum(at + length, following), stop)
            resets = self.starts[place - 1] == at
            yield Window(at, ends, resets, length, np.ones(len(at), dtype=bool))
            at = ends


class WindowSampler(DistributedSampler[Any]):
    """Yields the windows of an epoch, for the streams of this process; a corpus is read in order, never shuffled.

    It is a `DistributedSampler` that yields whole batches, as `BucketSampler` is: Lightning leaves that alone and tells
    it the epoch. Every process owns whole streams and gets equally many windows, as many in every epoch.

    Args:
        offsets: (documents + 1,) int64, where each document of the flat corpus begins and ends.
        streams: rows of all processes together.
        window: steps of a window.
        random_windows: whether the lengths of windows vary: about `window` (or half of it, one time in 20) with a
            standard deviation of 5, in an order that changes from epoch to epoch.
        reset_at_documents: whether a window ends where a document does, and the next begins anew.
        seed: of the lengths.
        num_replicas: number of processes; None asks `torch.distributed`, 1 where that is not running.
        rank: this process; None asks likewise.
    """

    def __init__(
        self,
        offsets: Array,
        *,
        streams: int,
        window: int,
        random_windows: bool = False,
        reset_at_documents: bool = False,
        seed: int = 0,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        replicas, own = count_and_rank()
        super().__init__(
            [],  # type: ignore[arg-type]
            num_replicas=replicas if num_replicas is None else num_replicas,
            rank=own if rank is None else rank,
            shuffle=False,
            seed=seed,
        )
        self.layout = StreamLayout(offsets, streams, reset_at_documents=reset_at_documents)
        self.streams = streams
        self.window = window
        self.random_windows = random_windows
        self.first = 0  # the window at which the next iteration begins, to go on in the middle of an epoch
        self._length = sum(1 for _ in self.layout.windows(self._lengths(0)))

    def __len__(self) -> int:
        """Number of windows in an epoch, whichever it is and wherever iteration begins."""
        return self._length

    def __iter__(self) -> Iterator[Window]:
        """Yields the windows of the epoch last told to `set_epoch`, from number `first` on; that then is 0 again."""
        first, self.first = self.first, 0
        for number, window in enumerate(self.layout.windows(self._lengths(self.epoch))):
            if number >= first:
                yield self._own(window)

    def padding_share(self) -> float:
        """Returns the part of all steps of an epoch that is padding, between 0 and 1."""
        real = padded = 0
        for window in self.layout.windows(self._lengths(0)):
            sizes = window.ends - window.begins
            real, padded = real + int(sizes.sum()), padded + int(sizes.max()) * len(sizes)
        return 1 - real / padded if padded else 0.0

    def _own(self, window: Window) -> Window:
        """Returns the rows of this process: as many in each, so the last may have some that do not count."""
        if self.num_replicas == 1:
            return window
        rows = -(-self.streams // self.num_replicas)
        own = np.arange(self.rank * rows, (self.rank + 1) * rows)
        counted = own < self.streams
        own = own.clip(max=self.streams - 1)
        begins = window.begins[own]
        ends = np.where(counted, window.ends[own], begins)
        weight = self.num_replicas * int((ends - begins).sum()) / int((window.ends - window.begins).sum())
        return Window(begins, ends, window.resets[own], window.length, counted, weight)

    def _lengths(self, epoch: int) -> Iterator[int]:
        if not self.random_windows:
            while True:
                yield self.window
        # drawn once and then put in another order for each epoch, so that every epoch has as many windows
        random = np.random.default_rng(self.seed)
        lengths: list[int] = []
        left = self.layout.longest
        while left > 0:
            mean = self.window / 2 if random.random() < _HALF_WINDOW_PROBABILITY else self.window
            lengths.append(min(left, max(_SHORTEST_WINDOW, round(random.normal(mean, _WINDOW_DEVIATION)))))
            left -= lengths[-1]
        yield from np.random.default_rng((self.seed, epoch)).permutation(lengths).tolist()


class StreamDataset(Dataset[StreamBatch]):
    """Makes a `StreamBatch` of a window over a flat corpus of ids.

    Args:
        corpus: the ids, one document a row, each with the end token behind it.
        end_id: the end token, from which the first token of a document is predicted.
        window: steps of the usual window.
    """

    def __init__(self, corpus: Ragged, *, end_id: int, window: int) -> None:
        self.ids = corpus.values
        self.end_id = end_id
        self.window = window

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, window: Window) -> StreamBatch:
        begins, ends = window.begins, window.ends
        lengths = ends - begins
        rows, time = len(begins), int(lengths.max(initial=0))
        values = np.full((rows, time + 1), self.end_id, dtype=np.int64)  # what each stream reads, then what it predicts
        for row, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
            if begin:  # a document that begins anew follows the end token of the one before it
                values[row, : end - begin + 1] = self.ids[begin - 1 : end]
            else:
                values[row, 1 : end + 1] = self.ids[:end]
        inputs, targets = torch.from_numpy(values[:, :-1].copy()), torch.from_numpy(values[:, 1:].copy())
        if int(lengths.min(initial=0)) < time:
            targets[torch.arange(time) >= torch.from_numpy(lengths).unsqueeze(1)] = IGNORED
        return StreamBatch(
            inputs={"ids": inputs},
            lengths=torch.from_numpy(lengths),
            targets=targets,
            word_starts=None,
            word_lengths=None,
            target_lengths=None,
            rows=torch.arange(rows),
            counted=torch.from_numpy(window.counted),
            resets=torch.from_numpy(window.resets),
            length_ratio=window.length / self.window,
            weight=window.weight,
        )
