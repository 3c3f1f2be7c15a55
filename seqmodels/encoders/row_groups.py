"""Rows of like length together: where a batch is mostly padding, several smaller runs cost less than one."""

from __future__ import annotations

import torch
from torch import Tensor

# A step of a padded run costs about what the rows cost and this many more (measured on two cores: 4 with the fused
# LSTM kernel; more is assumed, so that groups are made only where they clearly pay).
_ROWS_PER_STEP = 8
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
