"""The losses of classification and tagging: means over what is scored, in nats, computed in float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqmodels.data.encoded import IGNORED
from seqmodels.errors import ConfigurationError


def scored(targets: Tensor) -> Tensor:
    """Returns, in the shape of `targets`, True where a target takes part in the loss."""
    return targets >= 0


def classification_loss(
    logits: Tensor, targets: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Computes the mean cross entropy over the scored rows.

    With class weights it is the weighted mean, `sum_n w[y_n] loss_n / sum_n w[y_n]`.

    Args:
        logits: (batch, labels).
        targets: (batch,) int64; negative ones (`IGNORED`, `UNSEEN`) are not scored.
        class_weights: (labels,), or None for equal weights.
        label_smoothing: probability mass taken from the target and spread evenly over all labels, in [0, 1).

    Returns:
        A scalar in nats (float32, or the logits' float64); 0 with zero gradients where nothing is scored.

    Raises:
        ConfigurationError: `label_smoothing` is out of range.
    """
    if not 0 <= label_smoothing < 1:
        raise ConfigurationError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
    logits = at_least_float32(logits)
    targets = targets.masked_fill(~scored(targets), IGNORED)
    weights = None if class_weights is None else class_weights.to(logits.dtype)
    total = nn.functional.cross_entropy(
        logits, targets, weights, ignore_index=IGNORED, label_smoothing=label_smoothing, reduction="sum"
    )
    if weights is None:
        return total / scored(targets).sum().clamp(min=1)
    weight = weights[targets.clamp(min=0)].masked_fill(~scored(targets), 0).sum()
    return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def tagging_loss(
    logits: Tensor, targets: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Computes the mean cross entropy over the scored steps of the whole batch: `classification_loss`, step by step.

    Args:
        logits: (batch, time, tags).
        targets: (batch, time) int64, `IGNORED` beyond each row's length.
        class_weights: (tags,), or None for equal weights.
        label_smoothing: in [0, 1).

    Returns:
        A scalar in nats a step; 0 where nothing is scored.

    Raises:
        ConfigurationError: `label_smoothing` is out of range.
    """
    return classification_loss(logits.flatten(0, 1), targets.flatten(), class_weights, label_smoothing)


def multilabel_loss(logits: Tensor, targets: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Computes the mean binary cross entropy over the scored cells, each label a yes or no of its own.

    Args:
        logits: (batch, labels).
        targets: (batch, labels), 1 where the row has the label, 0 where not, negative where not scored.
        class_weights: (labels,), by which the loss of a label's *present* cells is multiplied, or None.

    Returns:
        A scalar in nats (float32, or the logits' float64); 0 where nothing is scored.
    """
    logits = at_least_float32(logits)
    weights = None if class_weights is None else class_weights.to(logits.dtype)
    present = targets.clamp(min=0).to(logits.dtype)
    losses = nn.functional.binary_cross_entropy_with_logits(logits, present, pos_weight=weights, reduction="none")
    return losses.masked_fill(~scored(targets), 0).sum() / scored(targets).sum().clamp(min=1)


def balanced_class_weights(counts: Sequence[int] | Tensor) -> Tensor:
    """Returns the weights (labels,) float32 under which every class that occurs has the same say.

    `weight = total / (number of classes that occur * count)`, so the mean weight of an example is 1; a class that
    does not occur gets 1.

    Raises:
        ConfigurationError: a count is negative, or all are zero.
    """
    counts = torch.as_tensor(counts, dtype=torch.float64)
    if counts.dim() != 1 or bool((counts < 0).any()) or bool(counts.sum() == 0):
        raise ConfigurationError(
            f"balanced class weights need the number of training examples of each class, at least one above zero; "
            f"got {counts.tolist()}"
        )
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp(min=1))
    return torch.where(present, weights, 1.0).float()


def at_least_float32(values: Tensor) -> Tensor:
    """Returns `values` in float32 where they are of a shorter type."""
    return values if values.dtype == torch.float64 else values.float()
