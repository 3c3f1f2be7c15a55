"""The largest values of each row, in an order that neither ties nor neighbouring rows can change."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 16


def top(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Finds the `count` largest values of each row, largest first, of equal ones that of the lower index first.

    `torch.topk` promises nothing on ties, and chooses its algorithm by the shape of the whole batch.

    Args:
        values: (rows, size); of values that are -inf any may come.
        count: how many, 1 or more; all of them if there are fewer.

    Returns:
        values and indices, each (rows, min(count, size)).
    """
    size = values.size(1)
    count = min(count, size)
    found, indices = _largest(values, min(count + 1, size))
    if count < size:
        # a tie across the border is the one thing that sorting what was found cannot mend
        torn = (found[:, count - 1] == found[:, count]) & (found[:, count] > -torch.inf)
        found, indices = found[:, :count], indices[:, :count]
        if bool(torn.any()):
            rows = torn.nonzero().squeeze(1)
            exact, where = values[rows].sort(dim=1, descending=True, stable=True)
            found, indices = found.clone(), indices.clone()
            found[rows], indices[rows] = exact[:, :count], where[:, :count]
    indices, order = indices.sort(dim=1)
    found, order = found.gather(1, order).sort(dim=1, descending=True, stable=True)
    return found, indices.gather(1, order)


def _largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Finds the `count` largest values of each row, largest first, of equal ones any.

    On CPUs `topk` over a vocabulary costs as much as a large product of matrices. The largest values lie in the blocks
    with the largest maxima, which are found in one pass: then `topk` has only these to look through.
    """
    rows, size = values.shape
    blocks = size // _BLOCK
    if values.device.type != "cpu" or blocks < 4 * count:
        return values.topk(count, dim=1)
    whole = blocks * _BLOCK  # a block is every `blocks`-th value: so the maxima are taken side by side
    chosen = values[:, :whole].unflatten(1, (_BLOCK, blocks)).amax(1).topk(count, dim=1).indices
    places = (torch.arange(0, whole, blocks).view(1, _BLOCK, 1) + chosen.unsqueeze(1)).flatten(1)
    places = torch.cat([places, torch.arange(whole, size).expand(rows, -1)], 1)
    found, order = values.gather(1, places).topk(count, dim=1)
    return found, places.gather(1, order)
