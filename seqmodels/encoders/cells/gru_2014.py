"""The gated recurrent unit of the papers of 2014: the reset gate before the product."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.encoders.cells.projected import ProjectedCell, mask_recurrence, recurrent_product
from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.state import State


@register_encoder("gru_2014")
class GRU2014(ProjectedCell):
    """A gated recurrent unit as the papers of 2014 define it; `gru` and `gru_cell` are what kernels compute.

    z_t = sigmoid(W_z [h_{t-1}, x_t] + b_z); r_t = sigmoid(W_r [h_{t-1}, x_t] + b_r);
    h~_t = tanh(W [r_t * h_{t-1}, x_t] + b); h_t = (1 - z_t) * h_{t-1} + z_t * h~_t.

    Here z_t lets the new in, in `gru` and `gru_cell` it keeps the old. The rows of the weights lie as r, z, h~.

    Args:
        input_size: features of each input step.
        hidden_size: features of h.

    Reference:
        Cho et al., Learning phrase representations using RNN encoder-decoder, 2014, with the roles of z and 1 - z as
        in Chung et al., Empirical evaluation of gated recurrent neural networks, 2014, 3.2.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128) -> None:
        super().__init__(input_size, hidden_size, num_gates=3)
        self.from_state = recurrent_product(hidden_size, 2)
        self.from_reset_state = recurrent_product(hidden_size, 1)

    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step; the state is h (batch, hidden_size)."""
        seen = mask_recurrence(state, recurrent_mask)
        input_gates, input_new = projected.split([2 * self.hidden_size, self.hidden_size], dim=1)
        r, z = torch.sigmoid(input_gates + self.from_state(seen)).chunk(2, dim=1)
        new = torch.tanh(input_new + self.from_reset_state(r * seen))
        h = (1 - z) * state + z * new
        return h, h
