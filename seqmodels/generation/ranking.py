"""The largest values of each row, in an order that neither ties nor neighbouring rows can change."""

from __future__ import annotations

import torch
from torch import Tensor


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
    found, indices = values.topk(min(count + 1, size), dim=1)
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
