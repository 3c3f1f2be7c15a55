"""A word's vector from an encoder that reads its characters."""

from __future__ import annotations

from torch import Tensor

from seqmodels.embedders.character_encoder import CharacterEncoder, register_character_encoder
from seqmodels.encoders.create import create_nested_encoder
from seqmodels.encoders.encoder import EncoderSpec


@register_character_encoder("recurrent")
class CharacterRecurrent(CharacterEncoder):
    """Any encoder over the characters; the vector is its summary, each direction's output after its last character.

    Args:
        vocab_size: number of character ids.
        embedding_dim: features of each character's vector.
        encoder: what reads the characters; None for a bidirectional LSTM of 25 features in each direction.

    Raises:
        ConfigurationError: the encoder's spec is wrong, or a size is out of range.

    Reference:
        Lample, Ballesteros, Subramanian, Kawakami and Dyer (2016), Neural architectures for named entity recognition,
        section 4.1.
    """

    def __init__(self, vocab_size: int, *, embedding_dim: int = 25, encoder: EncoderSpec | None = None) -> None:
        if encoder is None:
            encoder = {"name": "lstm", "hidden_size": 25, "bidirectional": True}
        built = create_nested_encoder("character encoder 'recurrent': encoder", encoder, embedding_dim)
        super().__init__(vocab_size, built.output_size, embedding_dim=embedding_dim)
        self.encoder = built

    def encode(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Maps embedded characters (forms, characters, embedding_dim) to vectors (forms, output_size)."""
        outputs, _ = self.encoder(embedded, lengths)
        return self.encoder.summary(outputs, lengths)
