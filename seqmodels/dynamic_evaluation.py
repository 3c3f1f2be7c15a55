"""Dynamic evaluation: a model that goes on learning from the text it is scored on, after each part is scored."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seqmodels.errors import ConfigurationError


class DynamicEvaluation:
    """Adapts parameters by gradient descent to what has just been scored, and pulls them back to where they began.

    theta <- theta - lr * g + decay * (theta_0 - theta), with g clipped to a norm.

    Args:
        lr: learning rate, positive.
        decay: pull towards the trained parameters in each step, in [0, 1).
        clip: greatest norm of the gradient of a window.

    Raises:
        ConfigurationError: a value is out of range.

    Reference:
        Krause, Kahembwe, Murray and Renals (2018), Dynamic evaluation of neural sequence models; here with plain SGD,
        without the gradient statistics of the training data.
    """

    def __init__(self, *, lr: float = 0.1, decay: float = 0.0, clip: float = 1.0) -> None:
        if lr <= 0 or clip <= 0:
            raise ConfigurationError(f"dynamic evaluation: lr and clip must be positive, got {lr} and {clip}")
        if not 0 <= decay < 1:
            raise ConfigurationError(f"dynamic evaluation: decay must be in [0, 1), got {decay}")
        self.lr = lr
        self.decay = decay
        self.clip = clip
        self._parameters: list[Tensor] = []
        self._trained: list[Tensor] = []

    def begin(self, parameters: Sequence[Tensor]) -> None:
        """Remembers the trained `parameters`, which `update` will change."""
        self.end()  # of a test that was broken off, whose parameters are adapted ones
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._trained = [parameter.detach().clone() for parameter in self._parameters]

    def update(self, loss: Tensor) -> None:
        """Takes a step down the gradient of a window's mean loss, as training has it (label smoothing included)."""
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        present = [gradient for gradient in gradients if gradient is not None]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in present]))
        scale = (self.clip / (norm + 1e-6)).clamp(max=1.0)
        with torch.no_grad():
            for parameter, gradient, trained in zip(self._parameters, gradients, self._trained, strict=True):
                pull = self.decay * (trained - parameter) if self.decay else None  # from where the step begins
                if gradient is not None:
                    parameter.sub_(self.lr * scale * gradient)
                if pull is not None:
                    parameter.add_(pull)

    def end(self) -> None:
        """Gives the parameters their trained values back."""
        with torch.no_grad():
            for parameter, trained in zip(self._parameters, self._trained, strict=True):
                parameter.copy_(trained)
        self._parameters, self._trained = [], []
