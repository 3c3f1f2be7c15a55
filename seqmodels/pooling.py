"""From the outputs of an encoder to one vector for each sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from seqmodels.encoders.encoder import Encoder
from seqmodels.errors import ConfigurationError, did_you_mean
from seqmodels.masking import lengths_to_mask, masked_max, masked_mean

PoolingName = Literal["final", "mean", "max", "attention"]


class Pooling(nn.Module, ABC):
    """Makes one vector of each row's real steps; a row of length zero gives zeros."""

    @abstractmethod
    def forward(self, encoder: Encoder, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Pools over time.

        Args:
            encoder: what made the outputs; only the pooling that needs its `summary` asks for it.
            outputs: (batch, time, size), zero beyond each row's length.
            lengths: (batch,) int64.

        Returns:
            (batch, size).
        """


class FinalPooling(Pooling):
    """Takes the encoder's summary: the output after the last real step, of each direction where there are two."""

    def forward(self, encoder: Encoder, outputs: Tensor, lengths: Tensor) -> Tensor:
        return encoder.summary(outputs, lengths)


class MeanPooling(Pooling):
    """Takes the mean over the real steps."""

    def forward(self, encoder: Encoder, outputs: Tensor, lengths: Tensor) -> Tensor:
        return masked_mean(outputs, lengths)


class MaxPooling(Pooling):
    """Takes the maximum over the real steps, of each feature by itself."""

    def forward(self, encoder: Encoder, outputs: Tensor, lengths: Tensor) -> Tensor:
        return masked_max(outputs, lengths)


class AttentionPooling(Pooling):
    """Takes a weighted mean over the real steps, by weights that it learns.

    `weights = softmax_t(v . tanh(W h_t + b))`, the result is `sum_t weights_t h_t`.

    Args:
        size: features of each step; W is (size, size).

    Reference:
        Yang et al. (2016), Hierarchical attention networks for document classification, section 2.2.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.projection = nn.Linear(size, size)
        self.query = nn.Linear(size, 1, bias=False)

    def forward(self, encoder: Encoder, outputs: Tensor, lengths: Tensor) -> Tensor:
        weights = self.weights(outputs, lengths)  # (batch, time)
        return torch.bmm(weights.unsqueeze(1).to(outputs.dtype), outputs).squeeze(1)

    def weights(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Returns the weight of each step (batch, time) float32: a row sums to 1, one of length zero is zero."""
        scores: Tensor = self.query(torch.tanh(self.projection(outputs))).squeeze(2).float()  # (batch, time)
        mask = lengths_to_mask(lengths, outputs.size(1))
        # a finite filling keeps the softmax of a row without steps free of NaN; its weights are then set to zero
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return scores.softmax(1).masked_fill(~mask, 0)


def create_pooling(name: PoolingName, encoder_output_size: int) -> Pooling:
    """Builds the pooling of that name.

    Raises:
        ConfigurationError: there is no such pooling.
    """
    if name == "final":
        return FinalPooling()
    if name == "mean":
        return MeanPooling()
    if name == "max":
        return MaxPooling()
    if name == "attention":
        return AttentionPooling(encoder_output_size)
    known = get_args(PoolingName)
    raise ConfigurationError(f"unknown pooling '{name}'; known: {', '.join(known)}{did_you_mean(name, known)}")
