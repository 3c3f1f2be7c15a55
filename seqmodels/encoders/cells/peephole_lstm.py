"""The long short-term memory cell whose gates see the memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.encoders.cells.projected import ProjectedCell, mask_recurrence, recurrent_product
from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.state import State


@register_encoder("peephole_lstm")
class PeepholeLSTM(ProjectedCell):
    """A long short-term memory whose gates see the memory, for exact times and counts.

    i_t = sigmoid(W_i [h_{t-1}, x_t] + p_i * C_{t-1} + b_i); f_t = sigmoid(W_f [h_{t-1}, x_t] + p_f * C_{t-1} + b_f);
    C_t = f_t * C_{t-1} + i_t * tanh(W_C [h_{t-1}, x_t] + b_C);
    o_t = sigmoid(W_o [h_{t-1}, x_t] + p_o * C_t + b_o); h_t = o_t * tanh(C_t).

    Args:
        input_size: features of each input step.
        hidden_size: features of h and C.
        forget_bias: b_f at the start; 1 makes a new cell remember. None leaves it uniform around 0.

    Reference:
        Gers and Schmidhuber, Recurrent nets that time and count, 2000; with tanh as in Graves, Generating sequences
        with recurrent neural networks, 2013, 2.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, forget_bias: float | None = None) -> None:
        super().__init__(input_size, hidden_size, num_gates=4)
        self.from_state = recurrent_product(hidden_size, 4)
        self.peepholes = nn.Parameter(torch.empty(3, hidden_size).uniform_(-(hidden_size**-0.5), hidden_size**-0.5))
        if forget_bias is not None:
            self.from_input.bias.detach()[hidden_size : 2 * hidden_size] = forget_bias

    def initial_state(self, batch_size: int) -> State:
        """Returns (h, C) of zeros."""
        return self.zeros(batch_size), self.zeros(batch_size)

    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step; the state is (h, C), each (batch, hidden_size)."""
        h, c = state
        p_i, p_f, p_o = self.peepholes
        gates = projected + self.from_state(mask_recurrence(h, recurrent_mask))  # (batch, 4 * hidden_size)
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        return h, (h, c)
