"""The network of gated recurrent units."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.recurrent import Recurrent, RecurrentInit


@register_encoder("gru")
class GRU(Recurrent):
    """A network of gated recurrent units, with a quarter fewer parameters than the LSTM of the same size.

    r, z = sigmoid(W [x, h] + b); n = tanh(W x + b + r * (U h + c)); h = (1 - z) * n + z * h.

    Args:
        input_size: features of each input step.
        hidden_size: features of h in each direction.
        num_layers: layers, each of which reads the outputs of the one below.
        bidirectional: whether each layer also reads every row from its end; output_size is then 2 * hidden_size.
        dropout: probability, in [0, 1), of zeroing a feature between two layers; nothing in a single layer.
        locked_dropout: whether `dropout` zeroes the same features at all steps of a row, rather than others at each.
        recurrent_weight_dropout: probability, in [0, 1), of zeroing an entry of a hidden-to-hidden matrix in training
            (DropConnect): one mask for each call, the same for all rows and steps. 0.5 in Merity et al.
        recurrent_init: "uniform" as torch does, or "orthogonal" for each gate's recurrent matrix.

    Raises:
        ConfigurationError: an option is out of range.

    Reference:
        Cho et al., Learning phrase representations using RNN encoder-decoder, 2014. As in `torch.nn.GRU`, the reset
        gate acts after the recurrent product, not before it, and z keeps the old state, not the new one.
        DropConnect: Wan et al., Regularization of neural networks using DropConnect, 2013; on recurrent weights, with
        locked dropout between layers: Merity et al., Regularizing and optimizing LSTM language models, 2018, 2 and 4.2.
    """

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        locked_dropout: bool = False,
        recurrent_weight_dropout: float = 0.0,
        recurrent_init: RecurrentInit = "uniform",
    ) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        sizes = (input_size, hidden_size, num_layers)
        super().__init__(
            nn.GRU(*sizes, batch_first=True, bidirectional=bidirectional),
            dropout=dropout,
            locked_dropout=locked_dropout,
            recurrent_weight_dropout=recurrent_weight_dropout,
            recurrent_init=recurrent_init,
        )

    @property
    def _kernel(self) -> Callable[..., tuple[Tensor, ...]]:
        return torch.gru
