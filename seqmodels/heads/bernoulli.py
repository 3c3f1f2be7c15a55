"""The head for frames of yes-or-no features, such as the notes of polyphonic music."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.heads.head import Head
from seqmodels.losses import at_least_float32


class BernoulliHead(Head):
    """Gives every feature of a frame a probability of being 1, independent of the frame's other features.

    `p(frame) = prod_f p_f^frame_f (1 - p_f)^(1 - frame_f)` with `p = sigmoid(weight output + bias)`. Every frame that
    it is given is scored.

    Args:
        input_size: features of each item.
        output_size: features of a frame, each 0 or 1.

    Raises:
        ConfigurationError: a size is not a positive integer.

    Reference:
        Boulanger-Lewandowski et al. (2012), Modeling temporal dependencies in high-dimensional sequences (the measure:
        nats a frame).
    """

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__(input_size, output_size)
        self.output = nn.Linear(input_size, output_size)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes the mean over the frames of `nll`, with gradient; `targets` (items, output_size) of 0 and 1."""
        losses = self._losses(outputs, targets)
        return losses.sum() / max(1, losses.size(0))

    @torch.no_grad()
    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes the negative log-likelihood (items,) of each frame: the sum over its features."""
        return self._losses(outputs, targets)

    def logits(self, outputs: Tensor) -> Tensor:
        """Returns each feature's log odds (items, output_size) of being 1."""
        return self.output(outputs)  # type: ignore[no-any-return]

    def log_probs(self, outputs: Tensor) -> Tensor:
        """Returns each feature's log probability (items, output_size) of being 1; a row does not sum to anything."""
        return nn.functional.logsigmoid(at_least_float32(self.logits(outputs)))

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logits = at_least_float32(self.logits(outputs))
        losses = nn.functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")
        return losses.sum(1)
