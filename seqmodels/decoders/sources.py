"""Which source each row of a decoder's state reads, and the keys of these sources without needless copies."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.attention import Keys
from seqmodels.encoders.state import select_rows


def keys_of_rows(keys: Keys, sources: Tensor) -> Keys:
    """Returns the keys of each row's source: `keys` itself where row i reads source i, as far as a look is free.

    Args:
        keys: one row for each source.
        sources: (rows,) int64, the source of each row.
    """
    look = sources.device.type == "cpu" and not torch.compiler.is_compiling()
    if look and _are_all_in_order(sources, keys):
        return keys
    return select_rows(keys, sources)  # type: ignore[no-any-return]


def keys_of_groups(keys: Keys, sources: Tensor) -> Keys:
    """Returns keys of which each row is read by as many neighbouring rows of the state.

    In a beam search the hypotheses of a sentence lie side by side: they are then so many queries to one row of keys,
    which no one has to copy for each of them.

    Args:
        keys: one row for each source.
        sources: (rows,) int64, the source of each row.

    Returns:
        keys of as many rows as there are groups; the rows of the state are that many times the size of a group.
    """
    if torch.compiler.is_compiling() or sources.numel() == 0:
        return select_rows(keys, sources)  # type: ignore[no-any-return]
    first, counts = torch.unique_consecutive(sources, return_counts=True)
    if not bool((counts == counts[0]).all()):
        first = sources
    if _are_all_in_order(first, keys):
        return keys
    return select_rows(keys, first)  # type: ignore[no-any-return]


def group_rows(values: Tensor, keys: Keys) -> Tensor:
    """Views values (rows, size) as (groups, rows of a group, size), a group for each row of the keys."""
    groups = _size_of(keys)
    return values.reshape(groups, values.size(0) // max(groups, 1), values.size(1))


def _size_of(keys: Keys) -> int:
    return next(part.size(0) for part in keys.values() if part is not None)


def _are_all_in_order(sources: Tensor, keys: Keys) -> bool:
    count = _size_of(keys)
    return sources.size(0) == count and torch.equal(sources, torch.arange(count, device=sources.device))
