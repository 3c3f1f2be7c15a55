"""Dropout for sequences: of whole words, of whole features, of whole rows of an embedding table."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from seqmodels.errors import ConfigurationError
from seqmodels.masking import lengths_to_mask


def check_dropout(name: str, value: float) -> float:
    """Returns `value` if it is a probability below 1.

    Raises:
        ConfigurationError: it is not in [0, 1).
    """
    if not 0 <= value < 1:
        raise ConfigurationError(f"{name} must be in [0, 1), got {value}")
    return value


class LockedDropout(nn.Module):
    """Drops features of a sequence, the same ones at every step, each row by its own mask.

    Args:
        dropout: share of the features that are set to zero in training, in [0, 1); the others are scaled by
            `1 / (1 - dropout)`.

    Raises:
        ConfigurationError: `dropout` is out of range.

    Reference:
        Gal and Ghahramani (2016), A theoretically grounded application of dropout in recurrent neural networks.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = check_dropout("dropout", dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Maps (batch, time, size) to the same shape; the identity outside training."""
        if not self.training or self.dropout == 0:
            return values
        kept = values.new_empty(values.size(0), 1, values.size(2)).bernoulli_(1 - self.dropout)
        return values * kept.div_(1 - self.dropout)

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}"


class EmbeddingDropout(nn.Module):
    """Looks up ids in an embedding whose rows are dropped whole: a dropped word is zero all over the batch.

    Args:
        embedding: the table; its parameters are this module's.
        dropout: share of the rows that are set to zero in a training step, in [0, 1); the others are scaled by
            `1 / (1 - dropout)`.

    Raises:
        ConfigurationError: `dropout` is out of range.

    Reference:
        Gal and Ghahramani (2016), section 4.2; Merity et al. (2018), Regularizing and optimizing LSTM language
        models, section 4.3.
    """

    def __init__(self, embedding: nn.Embedding, dropout: float) -> None:
        super().__init__()
        self.embedding = embedding
        self.dropout = check_dropout("dropout", dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Maps ids (...) int64 to vectors (..., embedding_dim)."""
        vectors: Tensor = self.embedding(ids)
        if not self.training or self.dropout == 0:
            return vectors
        # scaling the looked-up vectors instead of the table: the table may have a million rows
        kept = vectors.new_empty(self.embedding.num_embeddings).bernoulli_(1 - self.dropout)
        return vectors * kept.div_(1 - self.dropout)[ids].unsqueeze(-1)

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}"


def drop_entries(weights: Tensor, probability: float) -> Tensor:
    """Zeroes entries of a weight matrix, each with `probability`, and scales the others so that the mean stays.

    `torch.nn.functional.dropout`, but that on a CPU a mask is drawn from 16-bit integers, in a third of the time. The
    probability is then a multiple of 2 ** -15, the nearest one.

    Args:
        weights: of any shape.
        probability: in [0, 1).

    Returns:
        a new tensor of the same shape.

    Reference:
        Wan et al. (2013), Regularization of neural networks using DropConnect.
    """
    if weights.device.type != "cpu":
        return dropout(weights, probability)
    equally_likely = 2**15  # the non-negative numbers of 16 bits
    dropped = min(round(probability * equally_likely), equally_likely - 1)  # of them
    draws = torch.empty(weights.shape, dtype=torch.int16).random_()
    scale = equally_likely / (equally_likely - dropped)
    return weights * (draws >= dropped).to(weights.dtype).mul_(scale)


def drop_words(ids: Tensor, lengths: Tensor, probability: float, unk_id: int) -> Tensor:
    """Replaces real words by the unknown word, each with `probability`, so that its vector is trained.

    Args:
        ids: (batch, time) int64.
        lengths: (batch,) int64; the padding stays as it is.
        probability: in [0, 1).
        unk_id: the id of the unknown word.

    Returns:
        (batch, time) int64, a new tensor; `ids` itself where `probability` is 0.

    Raises:
        ConfigurationError: `probability` is out of range.

    Reference:
        Iyyer et al. (2015), Deep unordered composition rivals syntactic methods for text classification, section 3.
    """
    if check_dropout("word dropout", probability) == 0:
        return ids
    dropped = torch.rand(ids.shape, device=ids.device) < probability
    return ids.masked_fill(dropped & lengths_to_mask(lengths, ids.size(1)), unk_id)
