"""What a memory task is scored by, with the loss that trains for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss


@dataclass(frozen=True)
class Measure:
    """A score over the scored steps of a batch.

    Attributes:
        name: what it is, with its unit, as tables and axes call it.
        higher_is_better: whether a task is solved above its bound, not below it.
        loss: maps predictions (scored, output_size) and targets (scored,) to the mean loss that is trained on.
        score: maps the same to the mean score.
    """

    name: str
    higher_is_better: bool
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]

    def is_better(self, score: float, other: float) -> bool:
        """Tells whether a score is strictly better than another; none is better than not a number."""
        return score > other if self.higher_is_better else score < other


def _squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    return mse_loss(predictions.squeeze(1), targets)


def _accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
    return (predictions.argmax(1) == targets).float().mean()


SQUARED_ERROR = Measure("mean squared error", False, _squared_error, _squared_error)
CROSS_ENTROPY = Measure("cross-entropy (nats)", False, cross_entropy, cross_entropy)
ACCURACY = Measure("accuracy (fraction)", True, cross_entropy, _accuracy)
