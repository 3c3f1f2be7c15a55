"""Lengths and masks of right-padded batches: everything that must not see padding goes through here.

`lengths` (batch,) int64 is the one carrier of padding; a `mask` (batch, time) is True on real steps and is
always derived from it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lengths_to_mask(lengths: Tensor, time: int) -> Tensor:
    """Returns the mask (batch, time), True on the first `lengths[row]` steps of each row."""
    return torch.arange(time, device=lengths.device) < lengths.unsqueeze(1)


def zero_beyond(values: Tensor, lengths: Tensor) -> Tensor:
    """Sets the steps of `values` (batch, time, ...) beyond each row's length to exactly zero, NaN or not."""
    mask = lengths_to_mask(lengths, values.size(1))
    return values.masked_fill(~mask.view(*mask.shape, *[1] * (values.dim() - 2)), 0)


def last_step(values: Tensor, lengths: Tensor) -> Tensor:
    """Returns each row's last real step of `values` (batch, time, size) as (batch, size); zeros for length 0."""
    if values.size(1) == 0:
        return values.new_zeros(values.size(0), values.size(2))
    rows = torch.arange(values.size(0), device=values.device)
    last = values[rows, (lengths - 1).clamp(min=0)]  # (batch, size)
    return last.masked_fill((lengths == 0).unsqueeze(1), 0)


class _GatherRows(torch.autograd.Function):
    """Gathers rows by an index whose inverse is known, so that the gradient is a gather too."""

    @staticmethod
    def forward(ctx, rows, index, inverse, partial):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(index, inverse)
        ctx.partial = partial
        if not partial:
            return rows.index_select(0, index)
        taken = rows.index_select(0, index.clamp(min=0))
        return taken.masked_fill_((index < 0).view(-1, *[1] * (rows.dim() - 1)), 0)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        index, inverse = ctx.saved_tensors
        return _GatherRows.apply(gradient, inverse, index, ctx.partial), None, None, None


def gather_rows(rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Returns the rows (n, ...) that `index` (m,) names as (m, ...), with zeros where it is -1.

    Each row is named once at most, and `inverse` (n,) tells where, -1 if nowhere: `index[inverse[i]] == i`. Then the
    gradient costs no more than the result; that of plain indexing adds up row by row.
    """
    return _GatherRows.apply(rows, index, inverse, True)  # type: ignore[no-any-return]


def reverse_within(values: Tensor, lengths: Tensor) -> Tensor:
    """Reverses the real steps of each row of `values` (batch, time, ...) and leaves the padding where it is.

    It is its own inverse. `values.flip(1)` is not a substitute: it would bring the padding to the front.
    """
    batch, time = values.shape[:2]
    steps = torch.arange(time, device=lengths.device)  # (time,)
    mirrored = lengths.unsqueeze(1) - 1 - steps  # (batch, time)
    source = torch.where(mirrored >= 0, mirrored, steps)
    source = source + time * torch.arange(batch, device=lengths.device).unsqueeze(1)
    permutation = source.flatten()
    return _GatherRows.apply(values.flatten(0, 1), permutation, permutation, False).view_as(values)  # type: ignore[no-any-return]


def masked_mean(values: Tensor, lengths: Tensor) -> Tensor:
    """Returns the mean over the real steps of `values` (batch, time, size) as (batch, size); zeros for length 0."""
    return zero_beyond(values, lengths).sum(1) / lengths.clamp(min=1).unsqueeze(1).to(values.dtype)


def masked_max(values: Tensor, lengths: Tensor) -> Tensor:
    """Returns the maximum over the real steps of `values` (batch, time, size) as (batch, size); zeros for length 0."""
    if values.size(1) == 0:
        return values.new_zeros(values.size(0), values.size(2))
    mask = lengths_to_mask(lengths, values.size(1)).unsqueeze(2)
    highest = values.masked_fill(~mask, float("-inf")).amax(1)
    return highest.masked_fill((lengths == 0).unsqueeze(1), 0)
