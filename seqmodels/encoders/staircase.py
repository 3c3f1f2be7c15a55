"""How the steps of a ragged batch are laid out for kernels that know no lengths: as a staircase.

A kernel that runs a padded batch computes on padding too. So the rows are sorted, the longest first, and time is cut
into a few segments; each runs only the rows that still have steps there, from the state that they had before. The
steps that must follow each other stay as many as in one padded run, unlike in groups of rows of like length, which
matters because a step of few rows costs hardly less than one of some more. A batch of nearly equal lengths is a
staircase of a single segment, in its own order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seqmodels.masking import gather_rows

# Costs of a run in row-steps (one row, one step), measured with the fused LSTM kernel: what a step costs beside its
# rows, and what a segment costs beside its steps (the kernel lays out the weights anew and sums their gradients).
_COST_OF_STEP = 6
_COST_OF_SEGMENT = 32
# Every new shape costs the fused kernel milliseconds and megabytes for good: keep to few.
_ROW_MULTIPLE = 8
_STEP_MULTIPLE = 4
_MOST_CUTS = 16  # places where time may be cut


@dataclass(frozen=True)
class Staircase:
    """A batch as a list of steps: segment by segment, in it row by row, in that by time.

    Args:
        segments: the rows and the steps of each segment; it has the first so many rows of `order`.
        order: (batch,) the rows of the batch, the longest first; None if as they come.
        index: (steps,) int64, which of the batch * time steps of the padded batch is here; -1 for padding. None if all
            of them, in their order.
        inverse: (batch * time,) int64, the inverse of index.
        reversal: (steps,) int64, the permutation that reverses each row within its length; its own inverse.
        last: (batch,) int64, where each row, in `order`, has its last step; somewhere if it has none.
    """

    segments: list[tuple[int, int]]
    order: Tensor | None
    index: Tensor | None
    inverse: Tensor | None
    reversal: Tensor
    last: Tensor

    def collect(self, values: Tensor) -> Tensor:
        """Returns the steps of a padded batch (batch, time, size) as (steps, size), with zeros for padding."""
        flat = values.flatten(0, 1)
        return flat if self.index is None or self.inverse is None else gather_rows(flat, self.index, self.inverse)

    def spread(self, values: Tensor, batch: int, time: int) -> Tensor:
        """Returns steps (steps, size) as a padded batch (batch, time, size), with zeros for padding."""
        if self.index is not None and self.inverse is not None:
            values = gather_rows(values, self.inverse, self.index)
        return values.view(batch, time, -1)

    def reverse(self, values: Tensor) -> Tensor:
        """Reverses the rows of steps (steps, size), each within its length."""
        return gather_rows(values, self.reversal, self.reversal, partial=False)


def build_staircase(lengths: Tensor, time: int) -> Staircase:
    """Lays out a batch in as many segments as make its run fastest.

    Looking at the lengths is free where they lie in the memory of the CPU; elsewhere, and in a traced graph, which must
    hold for all lengths, there is one segment with everything.

    Args:
        lengths: (batch,) int64.
        time: steps of the padded batch.
    """
    batch = lengths.size(0)
    look = lengths.device.type == "cpu" and not torch.compiler.is_compiling()
    ragged = not look or bool((lengths < time).any())
    segments = plan_segments(lengths, time) if look and ragged else [(batch, time)]
    order = lengths.argsort(descending=True, stable=True) if len(segments) > 1 else None
    rows = torch.arange(batch, device=lengths.device) if order is None else order
    starts = (time * rows).unsqueeze(1)  # (batch, 1), of each row in the padded batch
    lengths = lengths[rows].unsqueeze(1)
    forward, backward, begin = [], [], 0
    for count, steps in segments:
        steps_left = lengths[:count] - torch.arange(begin, begin + steps, device=lengths.device)  # (count, steps)
        padding = steps_left <= 0
        forward.append((starts[:count] + lengths[:count] - steps_left).masked_fill(padding, -1).flatten())
        backward.append((starts[:count] + steps_left - 1).masked_fill(padding, -1).flatten())
        begin += steps
    index = torch.cat(forward)
    here = torch.arange(index.size(0), device=lengths.device)
    # One place more than the batch has steps takes what padding writes.
    inverse = index.new_full((batch * time + 1,), -1).scatter(0, index.where(index >= 0, batch * time), here)[:-1]
    reversal = inverse[torch.cat(backward).clamp(min=0)].where(index >= 0, here)
    last = inverse[(starts + lengths - 1).clamp(min=0).squeeze(1)].clamp(min=0)
    if not ragged:
        return Staircase(segments, order, None, None, reversal, last)
    return Staircase(segments, order, index, inverse, reversal, last)


def plan_segments(lengths: Tensor, time: int) -> list[tuple[int, int]]:
    """Returns the rows and the steps of each segment of the fastest staircase.

    It is one segment of everything unless more save a tenth of the time.

    Args:
        lengths: (batch,) int64, on the CPU.
        time: steps of the padded batch.
    """
    batch = lengths.size(0)
    bound = 0.9 * (time * (batch + _COST_OF_STEP) + _COST_OF_SEGMENT)
    longest = int(lengths.max())
    if int(lengths.sum()) + longest * _COST_OF_STEP + 2 * _COST_OF_SEGMENT >= bound:
        return [(batch, time)]
    blocks = -(-longest // _STEP_MULTIPLE)
    unit = _STEP_MULTIPLE * -(-blocks // _MOST_CUTS)  # steps between two places to cut
    cuts = range(0, longest, unit)
    alive = (lengths.unsqueeze(1) > torch.tensor(cuts)).sum(0).tolist()
    rows = [batch, *(min(batch, _ROW_MULTIPLE * -(-count // _ROW_MULTIPLE)) for count in alive[1:])]
    # The cheapest way to run from each cut to the end: its cost, and where it cuts next.
    best: list[tuple[float, int]] = [(0.0, 0)]
    for first in reversed(range(len(cuts))):
        width = unit * (rows[first] + _COST_OF_STEP)
        ways = [
            ((after - first) * width + _COST_OF_SEGMENT + best[after - first - 1][0], after)
            for after in range(first + 1, len(cuts) + 1)
        ]
        best.insert(0, min(ways))
    if best[0][0] >= bound:
        return [(batch, time)]
    segments, first = [], 0
    while first < len(cuts):
        after = best[first][1]
        segments.append((rows[first], (after - first) * unit))
        first = after
    return segments
