"""A linear layer and the cross entropy behind it as one function, which never holds all logits at once.

The softmax over a vocabulary is most of a language model's step, in time and in memory. Here a chunk of rows at a time
is scored, and turned into probabilities and into gradients in the same buffer, which the next chunk uses again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from seqmodels.errors import ConfigurationError
from seqmodels.first_derivative import first_derivative_only
from seqmodels.losses import at_least_float32
from seqmodels.precision import product_type

# A chunk's rows: with fewer the matrix products are slow, with more nothing is gained (measured on a CPU). Its logits
# bound its memory: 32 MiB of float32 on a CPU, 256 MiB elsewhere, unless that would be too few rows.
_LEAST_ROWS = 128
_MOST_ROWS_ON_CPU = 384
_LOGITS_ON_CPU = 2**23
_LOGITS_ELSEWHERE = 2**26


def linear_cross_entropy(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> Tensor:
    """Computes the mean cross entropy of the logits `inputs weight^T + bias` over the items that are not ignored.

    With label smoothing e an item's loss is `(1 - e) nll(target) + e mean_v nll(v)`. The gradients are computed along
    with the loss; they cannot be differentiated again.

    Args:
        inputs: (items, size). The products are computed in its type, or in that of autocast, the softmax and all sums
            in float32 at least.
        weight: (vocab_size, size).
        bias: (vocab_size,), or None.
        targets: (items,) int64, in [0, vocab_size) or `ignore_index`.
        label_smoothing: probability mass taken from the target and spread evenly over all ids, in [0, 1).
        ignore_index: the target of items that are not scored.

    Returns:
        A scalar in nats (float32, or the inputs' float64); 0 with zero gradients where nothing is scored.

    Raises:
        ConfigurationError: `label_smoothing` is out of range.
    """
    if not 0 <= label_smoothing < 1:
        raise ConfigurationError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
    scored = targets != ignore_index  # (items,)
    known = targets.device.type == "cpu"  # elsewhere one would have to wait for the number of rows
    if known and not bool(scored.all()):
        index = scored.nonzero().squeeze(1)
        inputs, targets = inputs.index_select(0, index), targets[index]
    kind = product_type(inputs)
    wanted = [torch.is_grad_enabled() and part is not None and part.requires_grad for part in (inputs, weight, bias)]
    with torch.autocast(inputs.device.type, enabled=False):
        return _LinearCrossEntropy.apply(  # type: ignore[no-any-return, no-untyped-call]
            inputs, weight, bias, targets, None if known else scored, label_smoothing, kind, wanted
        )


def linear_nll(inputs: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Computes the negative log-likelihood of each target under the softmax of `inputs weight^T + bias`.

    Args:
        inputs: (items, size); types as in `linear_cross_entropy`.
        weight: (vocab_size, size).
        bias: (vocab_size,), or None.
        targets: (items,) int64 in [0, vocab_size).

    Returns:
        (items,) in nats, without gradient; float32, or the inputs' float64.
    """
    kind = product_type(inputs)
    with torch.autocast(inputs.device.type, enabled=False), torch.no_grad():
        losses = at_least_float32(inputs.new_empty(inputs.size(0)))
        for rows, logits in _chunks_of_logits(inputs.to(kind), weight, bias):
            losses[rows], _ = _losses_and_errors(logits, targets[rows], 0.0)
        return losses


class _LinearCrossEntropy(torch.autograd.Function):
    """The mean over the rows where `scored` (items,) is True, all if it is None; gradients of those parts `wanted`."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        scored: Tensor | None,
        label_smoothing: float,
        kind: torch.dtype,
        wanted: list[bool],
    ) -> Tensor:
        count = targets.new_tensor(inputs.size(0)) if scored is None else scored.sum()
        sums = at_least_float32(inputs.new_empty(0))
        share = count.clamp(min=1).to(sums.dtype).reciprocal()  # of each row in the mean
        targets = targets if scored is None else targets.masked_fill(~scored, 0)
        loss = sums.new_zeros(())
        # Gradients are kept as sums, not shares of the mean: of float16 the shares would underflow.
        by_inputs = torch.empty_like(inputs) if wanted[0] else None
        by_weight = sums.new_zeros(weight.shape) if wanted[1] else None
        by_bias = sums.new_zeros(weight.size(0)) if wanted[2] else None
        left, right = inputs.to(kind), weight.to(kind)
        for rows, logits in _chunks_of_logits(left, right, bias):
            losses, errors = _losses_and_errors(logits, targets[rows], label_smoothing, gradients=any(wanted))
            if scored is not None:
                losses, errors = losses * scored[rows], errors.mul_(scored[rows].unsqueeze(1))
            loss += losses.sum()
            if by_bias is not None:
                by_bias += errors.sum(0)
            errors = errors.to(kind)
            if by_inputs is not None:
                by_inputs[rows] = errors @ right
            if by_weight is not None:
                _add_product(by_weight, errors.t(), left[rows])
        ctx.save_for_backward(by_inputs, by_weight, by_bias, share)
        ctx.kinds = (inputs.dtype, weight.dtype, None if bias is None else bias.dtype)
        return loss * share

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *parts, share = ctx.saved_tensors
        factor = gradient * share  # in float32: the scale of mixed precision is infinite in float16
        # Not in place: the graph may be kept and walked again.
        scaled = [
            None if part is None else (at_least_float32(part) * factor).to(kind)
            for part, kind in zip(parts, ctx.kinds, strict=True)
        ]
        return (*scaled, None, None, None, None, None)


def rows_of_chunk(items: int, vocab_size: int, device_type: str) -> int:
    """Returns how many rows are scored at once: chunks of about equal size within the bound on their logits."""
    if device_type == "cpu":
        most = min(_MOST_ROWS_ON_CPU, _LOGITS_ON_CPU // vocab_size)
    else:
        most = _LOGITS_ELSEWHERE // vocab_size
    most = max(most, _LEAST_ROWS)
    return max(1, math.ceil(items / max(1, math.ceil(items / most))))


def _chunks_of_logits(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
    """Yields the rows of each chunk with their logits (rows, vocab_size), in a buffer that the next one overwrites."""
    items, vocab_size = inputs.size(0), weight.size(0)
    chunk = rows_of_chunk(items, vocab_size, inputs.device.type)
    weight = weight.to(inputs.dtype).t()
    if inputs.device.type == "cpu" and items >= _LEAST_ROWS:
        weight = weight.contiguous()  # the products of a chunk are faster by up to 1.7, more than the copy costs
    bias = None if bias is None else bias.to(inputs.dtype)
    buffer = inputs.new_empty(chunk, vocab_size)
    for start in range(0, items, chunk):
        rows = slice(start, min(start + chunk, items))
        logits = buffer[: rows.stop - start]
        if bias is None:
            torch.mm(inputs[rows], weight, out=logits)
        else:
            torch.addmm(bias, inputs[rows], weight, out=logits)
        yield rows, logits


def _losses_and_errors(
    logits: Tensor, targets: Tensor, label_smoothing: float, *, gradients: bool = False
) -> tuple[Tensor, Tensor]:
    """Returns each row's loss (rows,) and, in place of the logits on a CPU, its gradient by them (rows, vocab_size).

    Without `gradients` the second result is not defined.
    """
    logits = at_least_float32(logits)
    chosen = targets.unsqueeze(1)
    expected = logits.gather(1, chosen).squeeze(1)
    if label_smoothing:
        expected = (1 - label_smoothing) * expected + label_smoothing * logits.mean(1)
    peak = logits.amax(1)
    # torch's fused softmax may write where it reads on a CPU; its largest value, unlike the target's, never underflows
    probabilities = torch.softmax(logits, 1, out=logits if logits.device.type == "cpu" else None)
    losses = peak - probabilities.amax(1).log() - expected
    if gradients:
        if label_smoothing:
            probabilities -= label_smoothing / probabilities.size(1)
        probabilities.scatter_add_(1, chosen, probabilities.new_full(chosen.shape, label_smoothing - 1))
    return losses, probabilities


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Adds `left right` to the total, whose type may be longer than theirs."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
