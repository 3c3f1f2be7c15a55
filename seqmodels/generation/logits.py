"""Rules that change the logits of a step before an id is chosen. A `history` is what has been written so far.

`history` (rows, time) int64 is padded on the left with -1: the last id of every row is in the last column.
"""

from __future__ import annotations

import torch
from torch import Tensor


def penalize_repetition(logits: Tensor, history: Tensor, penalty: float) -> Tensor:
    """Makes ids that occur in the history less likely.

    Positive logits are divided by the penalty and negative ones multiplied, once however often the id occurs.

    Args:
        logits: (rows, vocab_size).
        history: (rows, time) int64, -1 where there is no id.
        penalty: above 0; 1 changes nothing, below 1 rewards repetition.

    Returns:
        (rows, vocab_size).

    Reference:
        Keskar et al. (2019), CTRL, section 4.1; its equation divides negative logits too, which would reward them.
    """
    if history.size(1) == 0:
        return logits
    some = history.amax(1, keepdim=True)  # stands in where there is no id; -1 if there is none at all
    ids = torch.where(history < 0, some, history).clamp(min=0)
    present = logits.gather(1, ids)
    penalized = torch.where(present > 0, present / penalty, present * penalty)
    return logits.scatter(1, ids, torch.where(some < 0, present, penalized))


def block_ngrams(logits: Tensor, history: Tensor, size: int) -> Tensor:
    """Forbids each id that would complete a sequence of `size` ids which the row's history has already.

    Args:
        logits: (rows, vocab_size).
        history: (rows, time) int64, -1 where there is no id.
        size: ids of an n-gram, 1 or more; 1 forbids every repetition.

    Returns:
        (rows, vocab_size), -inf where forbidden.

    Reference:
        Paulus, Xiong and Socher (2018), A deep reinforced model for abstractive summarization, section 2.5 (trigrams).
    """
    if history.size(1) < size:
        return logits
    ngrams = history.unfold(1, size, 1)  # (rows, time - size + 1, size)
    suffix = history[:, history.size(1) - size + 1 :].unsqueeze(1)  # (rows, 1, size - 1)
    repeated = (ngrams[:, :, :-1] == suffix).all(2) & (ngrams >= 0).all(2)
    rows, places = repeated.nonzero(as_tuple=True)
    blocked = logits.clone()
    blocked[rows, ngrams[rows, places, -1]] = -torch.inf
    return blocked


def forbid(logits: Tensor, ids: Tensor) -> Tensor:
    """Returns the logits (rows, vocab_size) with -inf for `ids` (count,) int64 in every row."""
    return logits.index_fill(1, ids, -torch.inf)


def force(logits: Tensor, ids: Tensor) -> Tensor:
    """Returns the logits (rows, vocab_size) with -inf for all but `ids` (rows,) int64; where that is -1, unchanged."""
    forced = (ids >= 0).unsqueeze(1)
    wanted = torch.arange(logits.size(1), device=logits.device) == ids.unsqueeze(1)
    return logits.masked_fill(forced & ~wanted, -torch.inf)
