"""Lists of ids, of another length for each row, as one tensor; -1 is no id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from seqmodels.errors import ConfigurationError

NO_ID = -1


def left_padded(lists: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Returns the lists as (rows, longest) int64, each at the end of its row, so that all go on in the same column."""
    longest = max(map(len, lists), default=0)
    rows = [[NO_ID] * (longest - len(ids)) + list(ids) for ids in lists]
    return torch.tensor(rows, dtype=torch.int64, device=device).view(len(lists), longest)


def right_padded(lists: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Returns the lists as (rows, longest) int64, each at the beginning of its row."""
    longest = max(map(len, lists), default=0)
    rows = [[*ids, *[NO_ID] * (longest - len(ids))] for ids in lists]
    return torch.tensor(rows, dtype=torch.int64, device=device).view(len(lists), longest)


def check_row_count(name: str, given: Sequence[object] | None, rows: int) -> None:
    """Checks that there is one entry for each row, where there are any.

    Raises:
        ConfigurationError: there are more or fewer.
    """
    if given is not None and len(given) != rows:
        raise ConfigurationError(f"{name}: expected one entry for each of the {rows} rows, got {len(given)}")


def check_ids(name: str, ids: Iterable[int], vocab_size: int) -> None:
    """Checks that ids are in the vocabulary.

    Raises:
        ConfigurationError: one is negative or too large.
    """
    for number in ids:
        if not 0 <= number < vocab_size:
            raise ConfigurationError(f"{name}: expected ids in [0, {vocab_size}), got {number}")
