"""Rows of like length together: where a batch is mostly padding, several smaller runs cost less than one."""

from __future__ import annotations

import torch
from torch import Tensor

# A step of a padded run costs what its rows cost and this many more (measured with the fused LSTM kernel, one thread).
_ROWS_PER_STEP = 4
_SHAPE_MULTIPLE = 8  # every new number of steps costs the fused kernel time and memory: keep to few


def split_by_length(lengths: Tensor, time: int) -> list[tuple[Tensor, int]]:
    """Splits a batch into 1, 2 or 4 groups of rows with less padding in all.

    Args:
        lengths: (batch,) int64, on the CPU.
        time: steps of the padded batch.

    Returns:
        For each group its rows (int64 indices) and the number of steps to run it for; one group where splitting would
        not save a tenth of the time.
    """
    everything = [(torch.arange(lengths.size(0)), time)]
    best, best_cost = everything, 0.9 * time * (lengths.size(0) + _ROWS_PER_STEP)
    if lengths.size(0) < 2 or time <= _SHAPE_MULTIPLE:
        return everything
    ordered, order = lengths.sort(descending=True)
    longest = ordered.tolist()
    for count in (2, 4):
        groups, cost, start = [], 0.0, 0
        for rows in order.chunk(count):
            blocks = max(1, -(-longest[start] // _SHAPE_MULTIPLE))
            steps = min(time, blocks * _SHAPE_MULTIPLE)
            groups.append((rows, steps))
            cost += steps * (rows.size(0) + _ROWS_PER_STEP)
            start += rows.size(0)
        if cost < best_cost:
            best, best_cost = groups, cost
    return best


def index_groups(groups: list[tuple[Tensor, int]], lengths: Tensor, time: int) -> tuple[Tensor, Tensor]:
    """Returns where the steps of groups laid end to end come from in a padded batch, and the inverse of that.

    Args:
        groups: see `split_by_length`.
        lengths: (batch,) int64.
        time: steps of the padded batch.

    Returns:
        index (steps of all groups,) into the batch * time steps of the batch, and inverse (batch * time,), both -1 for
        padding; as `gather_rows` takes them.
    """
    sources = []
    for rows, steps in groups:
        at = torch.arange(steps)
        source = time * rows.unsqueeze(1) + at  # (rows, steps)
        sources.append(source.masked_fill(at >= lengths[rows].unsqueeze(1), -1).flatten())
    index = torch.cat(sources)
    real = (index >= 0).nonzero().squeeze(1)
    inverse = torch.full((lengths.size(0) * time,), -1)
    inverse[index[real]] = real
    return index, inverse
