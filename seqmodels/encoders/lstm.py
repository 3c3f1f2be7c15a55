"""The long short-term memory network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as drop
from torch.nn.functional import pad

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.lstm_layer import lstm_layer, prefers_own_layer
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.recurrent import Planes, Recurrent, RecurrentInit
from seqmodels.masking import lengths_to_mask

# Added to gates of the LSTM on padded steps: it outweighs whatever the weights add, and float16 still holds it, so
# that the sigmoid of its negative is exactly 0 and that of its positive exactly 1.
_SATURATION = 10_000.0
_WIDTH_MULTIPLE = 8


@register_encoder("lstm")
class LSTM(Recurrent):
    """A long short-term memory network, the fast choice on CPUs.

    i, f, o = sigmoid(W [x, h] + b), g = tanh(W [x, h] + b); c = f * c + i * g; h = o * tanh(c).

    Args:
        input_size: features of each input step.
        hidden_size: features of h and c in each direction.
        num_layers: layers, each of which reads the outputs of the one below.
        bidirectional: whether each layer also reads every row from its end; output_size is then 2 * hidden_size.
        dropout: probability, in [0, 1), of zeroing a feature between two layers; nothing in a single layer.
        locked_dropout: whether `dropout` zeroes the same features at all steps of a row, rather than others at each.
        recurrent_weight_dropout: probability, in [0, 1), of zeroing an entry of a hidden-to-hidden matrix in training
            (DropConnect): one mask for each call, the same for all rows and steps. 0.5 in Merity et al.
        forget_bias: bias of the forget gate at the start; 1 makes a new network remember. None leaves it to torch,
            uniform around 0.
        recurrent_init: "uniform" as torch does, or "orthogonal" for each gate's recurrent matrix.

    Raises:
        ConfigurationError: an option is out of range.

    Reference:
        Hochreiter and Schmidhuber, Long short-term memory, 1997; forget gates and their bias: Gers et al., Learning to
        forget, 2000, and Jozefowicz et al., An empirical exploration of recurrent network architectures, 2015, 3.2.
        DropConnect: Wan et al., Regularization of neural networks using DropConnect, 2013; on recurrent weights, with
        locked dropout between layers: Merity et al., Regularizing and optimizing LSTM language models, 2018, 2 and 4.2.
    """

    num_parts = 2

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
        forget_bias: float | None = None,
        recurrent_init: RecurrentInit = "uniform",
    ) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        sizes = (input_size, hidden_size, num_layers)
        super().__init__(
            nn.LSTM(*sizes, batch_first=True, bidirectional=bidirectional),
            dropout=dropout,
            locked_dropout=locked_dropout,
            recurrent_weight_dropout=recurrent_weight_dropout,
            recurrent_init=recurrent_init,
        )
        if forget_bias is not None:
            for _, _, input_bias, recurrent_bias in self.network.all_weights:
                input_bias.detach()[hidden_size : 2 * hidden_size] = forget_bias
                recurrent_bias.detach()[hidden_size : 2 * hidden_size] = 0.0

    @property
    def _kernel(self) -> Callable[..., tuple[Tensor, ...]]:
        return torch.lstm

    def _call(
        self,
        inputs: Tensor,
        batch_sizes: Tensor | None,
        planes: Planes,
        weights: Sequence[Tensor],
        dropout: float = 0.0,
    ) -> tuple[Tensor, ...]:
        if batch_sizes is not None or not prefers_own_layer(inputs, self.hidden_size):
            return super()._call(inputs, batch_sizes, planes, weights, dropout)
        outputs, finals = inputs, []
        for layer, (h, c) in enumerate(zip(*planes, strict=True)):
            if layer > 0:
                outputs = drop(outputs, dropout, self.training)
            outputs, *final = lstm_layer(outputs, h, c, weights[4 * layer : 4 * layer + 4])
            finals.append(final)
        return outputs, *(torch.stack(parts) for parts in zip(*finals, strict=True))

    # The fused kernel returns c of the last step only, padded or not. One more input feature, 1 on padded steps, closes
    # the input gate and opens the forget gate there: c passes unchanged, and so does its gradient. More features, all
    # zero, fill up to a multiple of 8: the kernel lays out weights of an odd width slowly.

    def _mark_padding(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        padded = ~lengths_to_mask(lengths, inputs.size(1)).unsqueeze(2)  # (batch, time, 1)
        return torch.cat([inputs, pad(padded.to(inputs.dtype), (0, _spare(inputs.size(2))))], dim=2)

    def _hold_on_marks(self, weights: Sequence[Tensor]) -> Sequence[Tensor]:
        input_weight, *others = weights
        gates = input_weight.new_zeros(4, self.hidden_size, 1 + _spare(input_weight.size(1)))
        gates[0, :, 0], gates[1, :, 0] = -_SATURATION, _SATURATION
        return [torch.cat([input_weight, gates.flatten(0, 1)], dim=1), *others]


def _spare(size: int) -> int:
    """Returns how many features beside the mark fill a layer of `size` inputs up to a multiple."""
    return -(size + 1) % _WIDTH_MULTIPLE
