"""Encoders: how a sequence is read. `encoder.py` is the contract; every other file is one encoder or serves them.

This list of imports fills the registry.
"""

from seqmodels.encoders import cells
from seqmodels.encoders.bidirectional import Bidirectional
from seqmodels.encoders.convolution import Convolution
from seqmodels.encoders.create import create_encoder
from seqmodels.encoders.encoder import (
    Cell,
    Encoder,
    EncoderSpec,
    check_batch,
    encoder_registry,
    list_encoders,
    register_encoder,
)
from seqmodels.encoders.gru import GRU
from seqmodels.encoders.lstm import LSTM
from seqmodels.encoders.parallel import MLSTM, QRNN, RGLRU, S6, SLSTM, SRU, MinGRU, MinLSTM
from seqmodels.encoders.pretrained import PretrainedEncoder, pretrained_embedding_size, resolve_pretrained
from seqmodels.encoders.rnn import RNN
from seqmodels.encoders.stacked import Stacked
from seqmodels.encoders.state import State, detach_state, map_state, select_rows, tensors_of, where_rows
from seqmodels.encoders.unrolled import Unrolled

__all__ = [
    "GRU",
    "LSTM",
    "MLSTM",
    "QRNN",
    "RGLRU",
    "RNN",
    "S6",
    "SLSTM",
    "SRU",
    "Bidirectional",
    "Cell",
    "Convolution",
    "Encoder",
    "EncoderSpec",
    "MinGRU",
    "MinLSTM",
    "PretrainedEncoder",
    "Stacked",
    "State",
    "Unrolled",
    "cells",
    "check_batch",
    "create_encoder",
    "detach_state",
    "encoder_registry",
    "list_encoders",
    "map_state",
    "pretrained_embedding_size",
    "register_encoder",
    "resolve_pretrained",
    "select_rows",
    "tensors_of",
    "where_rows",
]
