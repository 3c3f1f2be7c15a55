"""The sampler: batches of rows of similar length, shared out over processes, anew in every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from seqmodels.data.encoded import round_time
from seqmodels.data.ragged import Array
from seqmodels.errors import ConfigurationError
from seqmodels.processes import count_and_rank


class Chosen(NamedTuple):
    """The rows of one batch."""

    rows: list[int]
    counted: bool  # False for a batch that is repeated only to give every process equally many


class BucketSampler(DistributedSampler[Any]):
    """Yields the rows of each batch of this process, every row exactly once an epoch over all processes.

    The rows are shuffled, cut into pools of `pool` batches, sorted by length within each pool and cut into batches;
    the batches are shuffled. Without `shuffle`, all rows are one pool and the longest come first, so that a batch too
    large for memory fails at once. Batches of one step have similar lengths on all processes, so that none waits.

    All processes get equally many batches, as many in every epoch: by count, the rows are spread evenly, so that
    batches hold `batch_size` rows or a few less and none is nearly empty; by token budget, the largest batches are cut
    in two. Only where there are fewer rows than batches needed does a process repeat some, with `counted` False.

    It is a `DistributedSampler` that yields whole batches, for `DataLoader(..., sampler=..., batch_size=None)`:
    Lightning leaves that alone and tells it the epoch; a batch sampler of ours it would try to rebuild.

    Args:
        lengths: (rows,) steps of each row; or (rows, sides), where a row has several sides that are padded each by
            itself, such as a source and a target: the steps of a batch are then those of all its sides.
        batch_size: rows a batch; not used with `max_tokens`.
        max_tokens: steps a batch, padding included; a row longer than that is a batch of its own. A budget bounds
            memory and saves a little padding, but makes more recurrent steps than as many tokens in equal batches.
        shuffle: whether to reshuffle in every epoch, for training.
        seed: of the shuffling; the order depends on nothing else but the epoch.
        rows: (n,) the numbers of the rows that take part; default: all.
        pool: batches (of each process) sorted together: more save padding, fewer are more random. 100 leave 1 to 5%
            of an epoch to padding.
        num_replicas: number of processes; None asks `torch.distributed`, 1 where that is not running.
        rank: this process; None asks likewise.

    Raises:
        ConfigurationError: `batch_size`, `max_tokens` or `pool` is below 1.
    """

    def __init__(
        self,
        lengths: Array,
        *,
        batch_size: int = 32,
        max_tokens: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        rows: Array | None = None,
        pool: int = 100,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("max_tokens", max_tokens), ("pool", pool)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {value}")
        replicas, own = count_and_rank()
        num_replicas = replicas if num_replicas is None else num_replicas
        rank = own if rank is None else rank
        sides = np.asarray(lengths, dtype=np.int64)
        self.rows = np.arange(len(sides)) if rows is None else rows
        self.lengths = (sides[:, None] if sides.ndim == 1 else sides)[self.rows]  # (rows, sides)
        super().__init__(self.lengths, num_replicas=num_replicas, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.pool = pool
        self.first = 0  # the batch at which the next iteration begins, to go on in the middle of an epoch
        self._num_batches = self._count_batches()

    def __len__(self) -> int:
        """Number of batches of this process in an epoch, whichever it is and wherever iteration begins."""
        return self._num_batches // self.num_replicas

    def __iter__(self) -> Iterator[Chosen]:
        """Yields the batches of the epoch last told to `set_epoch`, from number `first` on; that then is 0 again."""
        first, self.first = self.first, 0  # a generator, since a loader with workers makes two iterators and uses one
        batches = self.batches(self.epoch)
        for step in range(first, len(self)):
            yield batches[step * self.num_replicas + (step + self.rank) % self.num_replicas]

    def batches(self, epoch: int) -> list[Chosen]:
        """Returns the batches of all processes; each `num_replicas` that follow one another are one step."""
        return [Chosen(self.rows[chosen.rows].tolist(), chosen.counted) for chosen in self._batches_of_places(epoch)]

    def _batches_of_places(self, epoch: int) -> list[Chosen]:
        """Returns the same with each row's place in `lengths` and `rows` instead of its number."""
        random = np.random.default_rng((self.seed, epoch)) if self.shuffle else None
        cut = self._cut(random)
        if len(cut) > self._num_batches:  # rare: an order that needs more of the budget than was foreseen
            cut = self._cut(np.random.default_rng((self.seed, 0)))
        cut = _split_until(cut, self._num_batches)
        chosen = [Chosen(rows.tolist(), True) for rows in cut]
        missing = self._num_batches - len(chosen)
        chosen += [chosen[number % len(chosen)]._replace(counted=False) for number in range(missing) if chosen]
        if random is not None:
            steps = random.permutation(len(self))
            places = (steps[:, None] * self.num_replicas + np.arange(self.num_replicas)).flatten()
            chosen = [chosen[place] for place in places]
        return chosen

    def padding_share(self, epoch: int = 0) -> float:
        """Returns the part of all steps of an epoch that is padding, between 0 and 1; looks at lengths only."""
        lengths = [self.lengths[chosen.rows] for chosen in self._batches_of_places(epoch)]
        padded = sum(len(batch) * sum(map(round_time, batch.max(0).tolist())) for batch in lengths)
        return 1 - sum(int(batch.sum()) for batch in lengths) / padded if padded else 0.0

    def _count_batches(self) -> int:
        rows, replicas = len(self.lengths), self.num_replicas
        if rows == 0:
            return 0
        if self.max_tokens is None:
            return math.ceil(rows / (self.batch_size * replicas)) * replicas
        needed = len(self._cut(np.random.default_rng((self.seed, 0)) if self.shuffle else None))
        if self.shuffle:  # other orders may need a few more; the surplus is taken up by cutting batches in two
            needed = max(needed, min(math.ceil(1.01 * needed) + 1, rows))
        return math.ceil(needed / replicas) * replicas

    def _cut(self, random: np.random.Generator | None) -> list[Array]:
        """Cuts the rows into batches, pool by pool; odd pools run from short to long, so that neighbours are alike."""
        rows = len(self.lengths)
        if rows == 0:
            return []
        order = np.arange(rows) if random is None else random.permutation(rows)
        if self.max_tokens is None:
            sizes = np.diff(np.arange(self._num_batches + 1) * rows // self._num_batches)
            if rows < self._num_batches:
                sizes = np.ones(rows, dtype=np.int64)
        else:
            sizes = np.full(rows, max(1, int(self.max_tokens / max(float(self.lengths.sum(1).mean()), 1.0))))
        batches: list[Array] = []
        number = start = 0
        while start < rows:
            in_pool = sizes[number : number + self.pool * self.num_replicas] if random is not None else sizes[number:]
            stop = min(rows, start + int(in_pool.sum()))
            pool = order[start:stop]
            pool = pool[self._longest_first(pool)]
            cut = np.split(pool, np.cumsum(in_pool)[:-1]) if self.max_tokens is None else self._cut_by_budget(pool)
            batches += cut[::-1] if number // (self.pool * self.num_replicas) % 2 else cut
            number, start = number + len(in_pool), stop
        return batches

    def _longest_first(self, pool: Array) -> Array:
        """Returns the places that put the rows of a pool in order."""
        # By the longer side, then the other: on Multi30k it leaves half the padding that the sum of both does, and as
        # little as one side before the other where pools are large, less where they are small.
        sides = self.lengths[pool]
        return np.lexsort((-sides.sum(1), -sides.max(1)))

    def _cut_by_budget(self, pool: Array) -> list[Array]:
        assert self.max_tokens is not None
        batches: list[Array] = []
        start = 0
        while start < len(pool):
            at_most = max(1, self.max_tokens // self._steps(self.lengths[pool[start]]))
            longest = np.maximum.accumulate(self.lengths[pool[start : start + at_most]], axis=0)
            rows = len(longest)
            while rows > 1 and rows * self._steps(longest[rows - 1]) > self.max_tokens:
                rows -= 1
            batches.append(pool[start : start + rows])
            start += rows
        return batches

    def _steps(self, longest: Array) -> int:
        """Returns the steps of one row in a batch whose longest sides are so long."""
        return sum(map(round_time, longest.tolist()))


def _split_until(batches: list[Array], count: int) -> list[Array]:
    """Cuts the batches with most rows in two, in place, until there are `count` or none has two rows."""
    while len(batches) < count:
        largest = sorted(range(len(batches)), key=lambda number: -len(batches[number]))[: count - len(batches)]
        halved = {number for number in largest if len(batches[number]) > 1}
        if not halved:
            break
        batches = [
            part
            for number, rows in enumerate(batches)
            for part in (np.array_split(rows, 2) if number in halved else (rows,))
        ]
    return batches
