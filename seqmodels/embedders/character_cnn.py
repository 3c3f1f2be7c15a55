"""A word's vector from convolutions over its characters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from seqmodels.embedders.character_encoder import CharacterEncoder, register_character_encoder
from seqmodels.errors import ConfigurationError
from seqmodels.masking import masked_max


@register_character_encoder("cnn")
class CharacterCNN(CharacterEncoder):
    """Convolutions centred on every character, then the maximum over the word's characters, then a ReLU.

    Args:
        vocab_size: number of character ids.
        embedding_dim: features of each character's vector.
        widths: characters that a filter sees, for each group of filters; words may be shorter.
        filters: filters in each group.

    Raises:
        ConfigurationError: a size is out of range.

    Reference:
        Kim, Jernite, Sontag and Rush (2016), Character-aware neural language models, section 2.2; here with a ReLU.
    """

    def __init__(
        self, vocab_size: int, *, embedding_dim: int = 25, widths: Sequence[int] = (3,), filters: int = 50
    ) -> None:
        if not widths or min(widths) < 1 or filters < 1:
            raise ConfigurationError(
                f"character encoder 'cnn': expected positive widths and filters, got widths {list(widths)} and "
                f"filters {filters}"
            )
        super().__init__(vocab_size, len(widths) * filters, embedding_dim=embedding_dim)
        self.widths = tuple(widths)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding_dim, filters, width) for width in widths)

    def encode(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Maps embedded characters (forms, characters, embedding_dim) to vectors (forms, output_size)."""
        channels = embedded.transpose(1, 2)  # (forms, embedding_dim, characters)
        vectors = []
        for width, convolution in zip(self.widths, self.convolutions, strict=True):
            around = pad(channels, ((width - 1) // 2, width // 2))
            vectors.append(masked_max(convolution(around).transpose(1, 2), lengths))
        return relu(torch.cat(vectors, dim=1))
