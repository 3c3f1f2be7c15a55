"""The plain recurrent cell."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.encoders.cells.projected import ProjectedCell, mask_recurrence, recurrent_product
from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.state import State


@register_encoder("elman")
class Elman(ProjectedCell):
    """The plain recurrent cell, step by step; `rnn` is the same by torch's kernel.

    h_t = tanh(W x_t + U h_{t-1} + b).

    Args:
        input_size: features of each input step.
        hidden_size: features of h.

    Reference:
        Elman, Finding structure in time, 1990.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128) -> None:
        super().__init__(input_size, hidden_size, num_gates=1)
        self.from_state = recurrent_product(hidden_size, 1)

    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step; the state is h (batch, hidden_size)."""
        h = torch.tanh(projected + self.from_state(mask_recurrence(state, recurrent_mask)))
        return h, h
