"""The contract of what makes one vector of a word's characters, and the registry of such encoders."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from seqmodels.errors import ConfigurationError
from seqmodels.registry import Registry, Spec

_SHORT = 8  # characters; nine in ten words have no more, and a batch's longest has twice or four times as many


class CharacterEncoder(nn.Module, ABC):
    """Makes one vector of the characters of each word form.

    A word's vector depends on its own characters alone, not on padding or on the other words.

    Args:
        vocab_size: number of character ids; 0 is padding.
        output_size: features of each word's vector.
        embedding_dim: features of each character's vector.
    """

    def __init__(self, vocab_size: int, output_size: int, *, embedding_dim: int) -> None:
        super().__init__()
        for name, size in (("embedding_dim", embedding_dim), ("output_size", output_size)):
            if not isinstance(size, int) or size < 1:
                raise ConfigurationError(f"{type(self).__name__}: {name} must be a positive integer, got {size!r}")
        self.output_size = output_size
        self.embedding = uniform_embedding(vocab_size, embedding_dim, padding_idx=0)

    @abstractmethod
    def encode(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Maps embedded characters (forms, characters, embedding_dim), zero beyond each of the lengths (forms,), to
        vectors (forms, output_size)."""

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Maps characters (forms, characters) int64, padded with 0, and lengths (forms,) to (forms, output_size)."""
        if characters.size(0) == 0:
            return self.embedding.weight.new_zeros(0, self.output_size)
        if lengths.is_cuda or torch.compiler.is_compiling():
            return self.encode(self.embedding(characters), lengths)
        # The few long words would make all others as long: they go apart. Where lengths are not on a GPU, looking at
        # them costs nothing.
        short = lengths <= _SHORT
        groups = [group for group in (short.nonzero().squeeze(1), (~short).nonzero().squeeze(1)) if len(group)]
        vectors = torch.cat([self._encode_group(characters[group], lengths[group]) for group in groups])
        place = torch.empty_like(lengths)  # (forms,), where each form's vector stands
        place[torch.cat(groups)] = torch.arange(len(lengths), device=lengths.device)
        return nn.functional.embedding(place, vectors)

    def _encode_group(self, characters: Tensor, lengths: Tensor) -> Tensor:
        # Few distinct shapes: every new one costs the recurrent kernels of CPUs time and memory.
        forms, time = len(characters), int(lengths.max().clamp(min=1))
        time += -time % 4
        characters = pad(characters[:, :time], (0, max(time - characters.size(1), 0), 0, -forms % 16))
        vectors = self.encode(self.embedding(characters), pad(lengths, (0, -forms % 16)))
        return vectors[:forms]


def uniform_embedding(vocab_size: int, embedding_dim: int, padding_idx: int | None) -> nn.Embedding:
    """Returns a table of vectors whose expected length is 1, uniform in [-sqrt(3 / dim), sqrt(3 / dim)].

    Reference: Ma and Hovy (2016), End-to-end sequence labeling via bi-directional LSTM-CNNs-CRF, section 3.1.
    """
    embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=padding_idx)
    bound = math.sqrt(3 / embedding_dim)
    with torch.no_grad():
        embedding.weight.uniform_(-bound, bound)
        if padding_idx is not None:
            embedding.weight[padding_idx] = 0
    return embedding


character_encoder_registry: Registry[CharacterEncoder] = Registry("character encoder", CharacterEncoder, supplied=1)
register_character_encoder = character_encoder_registry.register
list_character_encoders = character_encoder_registry.names

CharacterEncoderSpec = Spec
