"""The recurrent cell whose features do not see one another's past."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.encoders.cells.projected import ProjectedCell, mask_recurrence
from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.saturation import saturate
from seqmodels.encoders.state import State


@register_encoder("indrnn")
class IndRNN(ProjectedCell):
    """An independently recurrent network: each feature sees its own past only, so stack two or more.

    h_t = relu(W x_t + u * h_{t-1} + b), with u uniform in [0, 1) at the start.

    Args:
        input_size: features of each input step.
        hidden_size: features of h.

    Reference:
        Li et al., Independently recurrent neural network (IndRNN), 2018. u is not clipped in training: over thousands
        of steps an optimiser may drive it above 1, where h grows without bound; clip gradients, or lower the rate.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128) -> None:
        super().__init__(input_size, hidden_size, num_gates=1)
        self.recurrent_weight = nn.Parameter(torch.rand(hidden_size))

    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step; the state is h (batch, hidden_size)."""
        h = torch.relu(projected + self.recurrent_weight * mask_recurrence(state, recurrent_mask))
        h = saturate(h)
        return h, h
