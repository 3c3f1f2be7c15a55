"""A long time axis in blocks, so that what is computed between the inputs and the result is never large."""

from __future__ import annotations

from torch import Tensor

# Elements that are worked on at once: few enough to stay in the processor's cache from one operation to the next.
_BLOCK = 2**17


def blocks_of(steps: Tensor) -> list[slice]:
    """Returns the blocks of the time axis of `steps` (batch, time, size), the first one first."""
    size = max(_BLOCK // max(steps[:, 0].numel(), 1), 1)
    return [slice(start, start + size) for start in range(0, steps.size(1), size)]


def fill_block(values: Tensor, padded: Tensor | None, block: slice, filling: float) -> Tensor:
    """Returns the values of a block with `filling` on its padded steps, of which `padded` (batch, time, 1) tells."""
    return values if padded is None else values.masked_fill(padded[:, block], filling)
