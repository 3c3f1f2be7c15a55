"""How probable given sequences are under a step."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.encoders.state import State, select_rows
from seqmodels.errors import ConfigurationError
from seqmodels.generation.step import Step
from seqmodels.losses import at_least_float32


def score_references(step: Step, state: State, first_ids: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """Computes the log probability of each id of given sequences, given those before it.

    Args:
        step: one step of the model; gradients flow through it unless the caller turns them off.
        state: the state before `first_ids` are read.
        first_ids: (rows,) int64, what the first step reads.
        targets: (rows, time) int64, right padded with anything, the end of sequence included where it counts.
        lengths: (rows,) int64, ids of each row, 0 to time.

    Returns:
        (rows, time) in nats, zero beyond the lengths.

    Raises:
        ConfigurationError: the shapes do not fit each other.
    """
    rows = first_ids.size(0)
    if targets.dim() != 2 or targets.size(0) != rows or lengths.shape != (rows,):
        raise ConfigurationError(
            f"score_references: for first_ids of {rows} rows, expected targets ({rows}, time) and lengths ({rows},), "
            f"got {tuple(targets.shape)} and {tuple(lengths.shape)}"
        )
    present, ids, columns = torch.arange(rows, device=first_ids.device), first_ids, []
    for time in range(int(lengths.max()) if rows else 0):
        remaining = (lengths[present] > time).nonzero().squeeze(1)
        if len(remaining) < len(present):  # rows that have ended leave the batch
            present, ids, state = present[remaining], ids[remaining], select_rows(state, remaining)
        logits, state = step(ids, state)
        logits, ids = at_least_float32(logits), targets[present, time]
        found = logits.log_softmax(1).gather(1, ids.unsqueeze(1)).squeeze(1)
        columns.append(found.new_zeros(rows).index_copy(0, present, found))
    if not columns:
        return torch.zeros(targets.shape, device=targets.device)
    scores = torch.stack(columns, 1)
    return torch.nn.functional.pad(scores, (0, targets.size(1) - scores.size(1)))
