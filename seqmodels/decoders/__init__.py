"""Decoders: how a target is written from what an encoder made of the source. `decoder.py` is the contract.

This list of imports fills the registry.
"""

from seqmodels.decoders.attention_decoder import AttentionDecoder
from seqmodels.decoders.bridge import Bridge
from seqmodels.decoders.copying import Copying
from seqmodels.decoders.decoder import (
    Decoded,
    Decoder,
    DecoderSpec,
    create_decoder,
    decoder_registry,
    list_decoders,
    register_decoder,
)

__all__ = [
    "AttentionDecoder",
    "Bridge",
    "Copying",
    "Decoded",
    "Decoder",
    "DecoderSpec",
    "create_decoder",
    "decoder_registry",
    "list_decoders",
    "register_decoder",
]
