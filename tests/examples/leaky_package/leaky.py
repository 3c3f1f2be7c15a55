"""A recurrence of one's own: a leaky integrator. `plugins: [leaky]` makes it `encoder: leaky`, under every task."""

import torch
from torch import Tensor, nn

from seqmodels.encoders import Cell, register_encoder


@register_encoder("leaky")
class Leaky(Cell):
    """h = (1 - a) * h + a * tanh(W [x, h] + b), with a learnt rate a in (0, 1) for each feature."""

    def __init__(self, input_size: int, *, hidden_size: int = 128) -> None:
        super().__init__(input_size, output_size=hidden_size)
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)
        self.rate = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int) -> Tensor:
        return self.rate.new_zeros(batch_size, self.output_size)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        a = torch.sigmoid(self.rate)
        h = (1 - a) * state + a * torch.tanh(self.mix(torch.cat([inputs, state], dim=1)))
        return h, h
