"""The minimal long short-term memory network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.positive import positive
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, fill_padding, narrow, widen
from seqmodels.encoders.scans.linear_scan import linear_scan
from seqmodels.encoders.state import State


@register_encoder("minlstm")
class MinLSTM(ParallelRecurrence):
    """A minimal long short-term memory network: its gates read the input alone, so all steps run at once.

    f = sigmoid(W_f x + b_f), i = sigmoid(W_i x + b_i), u = g(W_u x + b_u), where g(a) = a + 1/2 for a >= 0 and
    sigmoid(a) elsewhere; h = f / (f + i) * h + i / (f + i) * u. The state is h (batch, hidden_size), 0 at the start.

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.
        forget_bias: b_f at the start; 1 makes a new network remember, 0 gives both gates the same share.

    Raises:
        ConfigurationError: a size is not positive.

    Reference:
        Feng et al., Were RNNs all we needed?, 2024, section 3.2 and appendix B: i / (f + i) is computed from
        softplus(-W_f x) - softplus(-W_i x), its logit, which two closed gates do not turn into 0 / 0. The paper
        computes logarithms of sums, which asks for a positive state; this computes the same sums as they are, so it
        may be 0.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, forget_bias: float = 1.0) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        super().__init__(input_size, hidden_size)
        self.projection = nn.Linear(input_size, 3 * hidden_size)  # f, i, u
        nn.init.constant_(self.projection.bias[:hidden_size], forget_bias)

    def initial_state(self, batch_size: int) -> State:
        """Returns h = 0 for `batch_size` rows; see `Encoder.initial_state`."""
        return self._zeros(batch_size, self.output_size)

    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        projected = self.projection(inputs)
        forget, take, candidate = widen(projected).chunk(3, dim=2)
        share = softplus(-forget) - softplus(-take)  # the logit of i / (f + i)
        i = torch.sigmoid(fill_padding(share, padded, float("-inf")))
        states, final = linear_scan(1 - i, i * positive(candidate), state)
        return narrow(states, projected.dtype), final
