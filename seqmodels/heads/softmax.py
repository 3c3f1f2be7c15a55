"""The softmax over all of a vocabulary, with a table of its own or that of the embedder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.data.encoded import IGNORED
from seqmodels.errors import ConfigurationError
from seqmodels.heads.head import Head
from seqmodels.linear_cross_entropy import linear_cross_entropy, linear_nll
from seqmodels.losses import at_least_float32


class SoftmaxHead(Head):
    """Scores every id by the product of its vector and the output: `p(id) = softmax(weight P output + bias)[id]`.

    `P` is a projection without bias to the size of the vectors, where that is not the outputs'. The loss never holds
    the logits of more than a few hundred items.

    Args:
        input_size: features of each item.
        vocab_size: number of ids.
        tied: the embedder's table (vocab_size, embedding_dim), to be shared; None for a table of the head's own,
            uniform in [-0.1, 0.1] at first.
        label_smoothing: probability mass that the loss takes from the target and spreads evenly over all ids, in
            [0, 1).

    Raises:
        ConfigurationError: an option is out of range, or the tied table has another number of rows than `vocab_size`.

    Reference:
        Press and Wolf (2017), Using the output embedding to improve language models; Inan et al. (2017), Tying word
        vectors and word classifiers.
    """

    def __init__(
        self, input_size: int, vocab_size: int, *, tied: nn.Parameter | None = None, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(input_size, vocab_size)
        if not 0 <= label_smoothing < 1:
            raise ConfigurationError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        if tied is not None and (tied.dim() != 2 or tied.size(0) != vocab_size):
            raise ConfigurationError(
                f"the tied table must be (vocab_size, embedding_dim) with vocab_size {vocab_size}, got "
                f"{tuple(tied.shape)}; tie the table of the same vocabulary, or none"
            )
        self.label_smoothing = label_smoothing
        if tied is None:
            tied = nn.Parameter(torch.empty(vocab_size, input_size).uniform_(-0.1, 0.1))
        self.weight = tied
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        same = tied.size(1) == input_size
        self.projection: nn.Module = nn.Identity() if same else nn.Linear(input_size, tied.size(1), bias=False)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes the mean (smoothed) cross entropy; see `Head.loss`."""
        return linear_cross_entropy(
            self.projection(outputs),
            self.weight,
            self.bias,
            targets,
            label_smoothing=self.label_smoothing,
            ignore_index=IGNORED,
        )

    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes each target's negative log-likelihood; see `Head.nll`."""
        return linear_nll(self.projection(outputs), self.weight, self.bias, targets)

    def logits(self, outputs: Tensor) -> Tensor:
        """Returns the scores (items, vocab_size)."""
        return nn.functional.linear(self.projection(outputs), self.weight, self.bias)

    def log_probs(self, outputs: Tensor) -> Tensor:
        """Returns the log softmax (items, vocab_size) of the scores."""
        return at_least_float32(self.logits(outputs)).log_softmax(1)
