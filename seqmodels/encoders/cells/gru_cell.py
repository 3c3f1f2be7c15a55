"""The gated recurrent unit as cuDNN and `torch.nn` compute it: the reset gate after the product."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.encoders.cells.projected import ProjectedCell, mask_recurrence, recurrent_product
from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.state import State


@register_encoder("gru_cell")
class GRUCell(ProjectedCell):
    """A gated recurrent unit as cuDNN computes it, step by step; `gru` is the same by torch's kernel.

    r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r); z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z);
    n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + c_n)); h_t = (1 - z_t) * n_t + z_t * h_{t-1}.

    The rows of the weights lie in torch's order: r, z, n.

    Args:
        input_size: features of each input step.
        hidden_size: features of h.

    Reference:
        Appleyard et al., Optimizing performance of recurrent neural networks on GPUs, 2016; after Cho et al., Learning
        phrase representations using RNN encoder-decoder, 2014, from which it differs in the place of the reset gate:
        see `gru_2014`.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128) -> None:
        super().__init__(input_size, hidden_size, num_gates=3)
        self.from_state = recurrent_product(hidden_size, 3)
        self.reset_bias = nn.Parameter(torch.empty(hidden_size).uniform_(-(hidden_size**-0.5), hidden_size**-0.5))

    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step; the state is h (batch, hidden_size)."""
        by_state = self.from_state(mask_recurrence(state, recurrent_mask))  # (batch, 3 * hidden_size)
        sizes = [2 * self.hidden_size, self.hidden_size]
        input_gates, input_new = projected.split(sizes, dim=1)
        state_gates, state_new = by_state.split(sizes, dim=1)
        r, z = torch.sigmoid(input_gates + state_gates).chunk(2, dim=1)
        n = torch.tanh(input_new + r * (state_new + self.reset_bias))
        h = (1 - z) * n + z * state
        return h, h
