"""Cells: one step of a recurrence each, written as its equations. `Unrolled` makes encoders of them.

This list of imports fills the registry.
"""

from seqmodels.encoders.cells.coupled_lstm import CoupledLSTM
from seqmodels.encoders.cells.elman import Elman
from seqmodels.encoders.cells.gru_2014 import GRU2014
from seqmodels.encoders.cells.gru_cell import GRUCell
from seqmodels.encoders.cells.indrnn import IndRNN
from seqmodels.encoders.cells.layer_norm_lstm import LayerNormLSTM
from seqmodels.encoders.cells.lstm_cell import LSTMCell
from seqmodels.encoders.cells.peephole_lstm import PeepholeLSTM
from seqmodels.encoders.cells.variational_dropout import VariationalDropout
from seqmodels.encoders.cells.zoneout import Zoneout

__all__ = [
    "GRU2014",
    "CoupledLSTM",
    "Elman",
    "GRUCell",
    "IndRNN",
    "LSTMCell",
    "LayerNormLSTM",
    "PeepholeLSTM",
    "VariationalDropout",
    "Zoneout",
]
