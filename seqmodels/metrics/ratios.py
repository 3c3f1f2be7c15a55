"""Precision, recall and F1 of counts: fractions, 0 where there is nothing to divide by."""

from __future__ import annotations

import torch
from torch import Tensor


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Returns part / whole in float64 (float32 where the device has no float64); 0 where `whole` is 0."""
    dtype = torch.float32 if part.device.type == "mps" else torch.float64
    return part.to(dtype) / whole.clamp(min=1)


def f1(correct: Tensor, predicted: Tensor, gold: Tensor) -> Tensor:
    """Returns the harmonic mean of precision and recall, `2 correct / (predicted + gold)`."""
    return ratio(2 * correct, predicted + gold)


def macro_f1(correct: Tensor, predicted: Tensor, gold: Tensor) -> Tensor:
    """Returns the mean F1 over the classes (classes,) that occur among gold or predicted; a scalar."""
    occurs = predicted + gold > 0
    return f1(correct, predicted, gold).sum() / occurs.sum().clamp(min=1)
