"""The long short-term memory cell."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.encoders.cells.projected import ProjectedCell, mask_recurrence, recurrent_product
from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.state import State


@register_encoder("lstm_cell")
class LSTMCell(ProjectedCell):
    """A long short-term memory, step by step; `lstm` is the same by a kernel, and faster.

    f_t = sigmoid(W_f [h_{t-1}, x_t] + b_f); i_t = sigmoid(W_i [h_{t-1}, x_t] + b_i);
    C~_t = tanh(W_C [h_{t-1}, x_t] + b_C); C_t = f_t * C_{t-1} + i_t * C~_t;
    o_t = sigmoid(W_o [h_{t-1}, x_t] + b_o); h_t = o_t * tanh(C_t).

    The rows of the weights lie in torch's order: i, f, C~, o.

    Args:
        input_size: features of each input step.
        hidden_size: features of h and C.
        forget_bias: b_f at the start; 1 makes a new cell remember. None leaves it uniform around 0.

    Reference:
        Hochreiter and Schmidhuber, Long short-term memory, 1997; forget gates: Gers et al., Learning to forget, 2000;
        their bias: Jozefowicz et al., An empirical exploration of recurrent network architectures, 2015, 3.2.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, forget_bias: float | None = None) -> None:
        super().__init__(input_size, hidden_size, num_gates=4)
        self.from_state = recurrent_product(hidden_size, 4)
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
        gates = projected + self.from_state(mask_recurrence(h, recurrent_mask))  # (batch, 4 * hidden_size)
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)
