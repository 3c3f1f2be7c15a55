"""The plain (Elman) recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_choice, check_sizes
from seqmodels.encoders.recurrent import Recurrent, RecurrentInit


@register_encoder("rnn")
class RNN(Recurrent):
    """A plain recurrent network: h = nonlinearity(W [x, h] + b).

    Args:
        input_size: features of each input step.
        hidden_size: features of h in each direction.
        num_layers: layers, each of which reads the outputs of the one below.
        bidirectional: whether each layer also reads every row from its end; output_size is then 2 * hidden_size.
        dropout: probability, in [0, 1), of zeroing a feature between two layers; nothing in a single layer.
        locked_dropout: whether `dropout` zeroes the same features at all steps of a row, rather than others at each.
        recurrent_weight_dropout: probability, in [0, 1), of zeroing an entry of a hidden-to-hidden matrix in training
            (DropConnect): one mask for each call, the same for all rows and steps. 0.5 in Merity et al.
        nonlinearity: "tanh" or "relu".
        recurrent_init: "uniform" as torch does, or "orthogonal" for the recurrent matrix.

    Raises:
        ConfigurationError: an option is out of range.

    Reference:
        Elman, Finding structure in time, 1990.
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
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        recurrent_init: RecurrentInit = "uniform",
    ) -> None:
        check_choice(self, "nonlinearity", nonlinearity, ("tanh", "relu"))
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        sizes = (input_size, hidden_size, num_layers)
        network = nn.RNN(*sizes, nonlinearity=nonlinearity, batch_first=True, bidirectional=bidirectional)
        super().__init__(
            network,
            dropout=dropout,
            locked_dropout=locked_dropout,
            recurrent_weight_dropout=recurrent_weight_dropout,
            recurrent_init=recurrent_init,
        )
        self.nonlinearity = nonlinearity

    @property
    def _kernel(self) -> Callable[..., tuple[Tensor, ...]]:
        return torch.rnn_tanh if self.nonlinearity == "tanh" else torch.rnn_relu
