"""Recurrences that read all steps of a sequence at once, on the scan of `seqmodels.encoders.scans` or in chunks."""

from seqmodels.encoders.parallel.mingru import MinGRU
from seqmodels.encoders.parallel.minlstm import MinLSTM
from seqmodels.encoders.parallel.mlstm import MLSTM
from seqmodels.encoders.parallel.qrnn import QRNN
from seqmodels.encoders.parallel.rglru import RGLRU
from seqmodels.encoders.parallel.s6 import S6
from seqmodels.encoders.parallel.slstm import SLSTM
from seqmodels.encoders.parallel.sru import SRU

__all__ = ["MLSTM", "QRNN", "RGLRU", "S6", "SLSTM", "SRU", "MinGRU", "MinLSTM"]
