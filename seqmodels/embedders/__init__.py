"""Embedders: what an encoder reads of a batch. `embedder.py` is the contract, `embedding.py` the one for most data.

This list of imports fills the registries.
"""

from seqmodels.embedders.character_cnn import CharacterCNN
from seqmodels.embedders.character_encoder import (
    CharacterEncoder,
    CharacterEncoderSpec,
    character_encoder_registry,
    list_character_encoders,
    register_character_encoder,
)
from seqmodels.embedders.character_recurrent import CharacterRecurrent
from seqmodels.embedders.embedder import (
    Embedder,
    EmbedderSpec,
    create_embedder,
    embedder_registry,
    list_embedders,
    register_embedder,
)
from seqmodels.embedders.embedding import Embedding

__all__ = [
    "CharacterCNN",
    "CharacterEncoder",
    "CharacterEncoderSpec",
    "CharacterRecurrent",
    "Embedder",
    "EmbedderSpec",
    "Embedding",
    "character_encoder_registry",
    "create_embedder",
    "embedder_registry",
    "list_character_encoders",
    "list_embedders",
    "register_character_encoder",
    "register_embedder",
]
