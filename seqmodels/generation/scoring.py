"""What a step makes of given sequences: how probable they are, and what its state then tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from seqmodels.encoders.state import State, select_rows
from seqmodels.errors import ConfigurationError
from seqmodels.generation.normalizing import log_probs_of
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
    columns = []
    for present, ids, logits, _ in _follow("score_references", step, state, first_ids, targets, lengths):
        found = log_probs_of(at_least_float32(logits), ids.unsqueeze(1)).squeeze(1)
        columns.append(found.new_zeros(targets.size(0)).index_copy(0, present, found))
    if not columns:
        return torch.zeros(targets.shape, device=targets.device)
    scores = torch.stack(columns, 1)
    return torch.nn.functional.pad(scores, (0, targets.size(1) - scores.size(1)))


def read_references(
    step: Step, state: State, first_ids: Tensor, targets: Tensor, lengths: Tensor, read: Callable[[State], Tensor]
) -> Tensor:
    """Reads something off the state that the step before each id of given sequences left, such as its attention.

    The arguments are those of `score_references`; `read` maps the state to (rows, size).

    Returns:
        (rows, longest, size), zero beyond the lengths; (rows, 0, 0) where all are empty.

    Raises:
        ConfigurationError: the shapes do not fit each other.
    """
    columns = []
    for present, _, _, after in _follow("read_references", step, state, first_ids, targets, lengths):
        found = read(after)
        columns.append(found.new_zeros(targets.size(0), found.size(1)).index_copy(0, present, found))
    return torch.stack(columns, 1) if columns else torch.zeros(targets.size(0), 0, 0, device=targets.device)


def _follow(
    name: str, step: Step, state: State, first_ids: Tensor, targets: Tensor, lengths: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor, State]]:
    """Yields at each step the rows that have an id there, these ids, the logits before them and the state after."""
    rows = first_ids.size(0)
    if targets.dim() != 2 or targets.size(0) != rows or lengths.shape != (rows,):
        raise ConfigurationError(
            f"{name}: for first_ids of {rows} rows, expected targets ({rows}, time) and lengths ({rows},), "
            f"got {tuple(targets.shape)} and {tuple(lengths.shape)}"
        )
    present, ids = torch.arange(rows, device=first_ids.device), first_ids
    for time in range(int(lengths.max()) if rows else 0):
        remaining = (lengths[present] > time).nonzero().squeeze(1)
        if len(remaining) < len(present):  # rows that have ended leave the batch
            present, ids, state = present[remaining], ids[remaining], select_rows(state, remaining)
        logits, state = step(ids, state)
        ids = targets[present, time]
        yield present, ids, logits, state
