"""The long short-term memory cell with layer normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.encoders.cells.projected import ProjectedCell, mask_recurrence, recurrent_product
from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.saturation import saturate
from seqmodels.encoders.state import State


@register_encoder("layer_norm_lstm")
class LayerNormLSTM(ProjectedCell):
    """A long short-term memory whose sums are normalised, each step by itself.

    (i, f, g, o) = norm(W x_t) + norm(U h_{t-1}) + b; C_t = sigmoid(f) * C_{t-1} + sigmoid(i) * tanh(g);
    h_t = sigmoid(o) * tanh(norm(C_t)). norm is over all four gates together, with a gain a feature, and the last one
    with a bias too.

    Args:
        input_size: features of each input step.
        hidden_size: features of h and C.
        forget_bias: b of f at the start; 1 makes a new cell remember. None leaves it at 0, as all of b.

    Reference:
        Ba, Kiros and Hinton, Layer normalization, 2016, equations 20 to 22. The two norms of the first equation have
        biases there, which together with b are one too many twice.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, forget_bias: float | None = None) -> None:
        super().__init__(input_size, hidden_size, num_gates=4, bias=False)
        self.from_state = recurrent_product(hidden_size, 4)
        self.input_norm = nn.LayerNorm(4 * hidden_size)  # its bias is b
        self.state_norm = nn.LayerNorm(4 * hidden_size, bias=False)
        self.memory_norm = nn.LayerNorm(hidden_size)
        if forget_bias is not None:
            self.input_norm.bias.detach()[hidden_size : 2 * hidden_size] = forget_bias

    def initial_state(self, batch_size: int) -> State:
        """Returns (h, C) of zeros."""
        return self.zeros(batch_size), self.zeros(batch_size)

    def project(self, inputs: Tensor) -> Tensor:
        """Maps inputs (..., input_size) to norm(W x) + b (..., 4 * hidden_size)."""
        return self.input_norm(super().project(inputs))  # type: ignore[no-any-return]

    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step; the state is (h, C), each (batch, hidden_size)."""
        h, c = state
        by_state = saturate(self.from_state(mask_recurrence(h, recurrent_mask)))
        gates = projected + self.state_norm(by_state)  # (batch, 4 * hidden_size)
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(self.memory_norm(c))
        return h, (h, c)
