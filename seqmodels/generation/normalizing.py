"""What makes logits log probabilities, without writing those of a whole vocabulary of which few are needed."""

from __future__ import annotations

import torch
from torch import Tensor

_CACHED = 2**17  # numbers of a block of rows that stays in the cache of a core from one pass to the next


def log_normalizer(logits: Tensor) -> Tensor:
    """Computes `log sum_v exp(logits_v)` of each row: a log probability is a logit less that.

    Args:
        logits: (rows, vocab_size), float32 or float64.

    Returns:
        (rows,), not a number where a row holds no finite number or an infinite one.
    """
    if logits.device.type != "cpu" or logits.requires_grad:
        return logits.logsumexp(1)
    rows = max(1, _CACHED // max(1, logits.size(1)))
    largest = logits.amax(1, keepdim=True)
    buffer = logits.new_empty(min(rows, logits.size(0)), logits.size(1))
    sums = [
        torch.sub(block, most, out=buffer[: block.size(0)]).exp_().sum(1)
        for block, most in zip(logits.split(rows), largest.split(rows), strict=True)
    ]
    return torch.cat(sums).log_() + largest.squeeze(1)


def exponentials(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Computes `exp(logits - max)`, which probabilities are proportional to, and `log_normalizer` in the same pass.

    Args:
        logits: (rows, vocab_size), float32 or float64.

    Returns:
        (rows, vocab_size), new memory, and (rows,).
    """
    largest = logits.amax(1, keepdim=True)
    weights = torch.empty_like(logits)
    rows = max(1, _CACHED // max(1, logits.size(1))) if logits.device.type == "cpu" else max(1, logits.size(0))
    blocks = zip(logits.split(rows), largest.split(rows), weights.split(rows), strict=True)
    sums = [torch.sub(block, most, out=written).exp_().sum(1) for block, most, written in blocks]
    return weights, torch.cat(sums).log_() + largest.squeeze(1)


def log_probs_of(logits: Tensor, ids: Tensor) -> Tensor:
    """Returns the log probabilities of `ids` (rows, count) under logits (rows, vocab_size), of the same shape."""
    return logits.gather(1, ids) - log_normalizer(logits).unsqueeze(1)
