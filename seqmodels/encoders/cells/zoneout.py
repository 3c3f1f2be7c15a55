"""Zoneout around any cell."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.dropout import check_dropout
from seqmodels.encoders.cells.nested import create_nested_cell
from seqmodels.encoders.encoder import Cell, EncoderSpec, register_encoder
from seqmodels.encoders.state import State, map_state


@register_encoder("zoneout")
class Zoneout(Cell):
    """A cell that in training keeps features of its state from the step before, at random, other ones at each step.

    s_t = m_t * s_{t-1} + (1 - m_t) * step(x_t, s_{t-1}), with m_t drawn from Bernoulli(rate) in training, and
    m_t = rate, its expectation, otherwise. An output that is part of the state (h) comes out as it is kept.

    Args:
        input_size: features of each input step.
        cell: the cell; its state is what is kept.
        zoneout: probability, in [0, 1), of keeping a feature of h, the first tensor of the state. 0.05 in the paper's
            language models: more makes h too slow.
        memory_zoneout: the same for the other tensors of the state, the C of an LSTM. 0.5 in the paper's language
            models.

    Raises:
        ConfigurationError: a probability is out of range, or the cell's spec is wrong.

    Reference:
        Krueger et al., Zoneout: regularizing RNNs by randomly preserving hidden activations, 2017.
    """

    def __init__(
        self,
        input_size: int,
        *,
        cell: EncoderSpec = "lstm_cell",
        zoneout: float = 0.05,
        memory_zoneout: float = 0.5,
    ) -> None:
        wrapped = create_nested_cell("zoneout: cell", cell, input_size)
        super().__init__(input_size, wrapped.output_size)
        self.cell = wrapped
        self.zoneout = check_dropout("Zoneout: zoneout", zoneout)
        self.memory_zoneout = check_dropout("Zoneout: memory_zoneout", memory_zoneout)
        self.masks_recurrence = wrapped.masks_recurrence

    def initial_state(self, batch_size: int) -> State:
        """Returns the cell's."""
        return self.cell.initial_state(batch_size)

    def project(self, inputs: Tensor) -> Tensor:
        """Maps inputs (..., input_size) to what the cell makes of them."""
        return self.cell.project(inputs)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Computes one step; the state is the cell's."""
        return self.step_projected(self.project(inputs), state)

    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step; see `Cell.step_projected`."""
        output, following = self.cell.step_projected(projected, state, recurrent_mask)
        rate, result = self.zoneout, output

        def keep(new: Tensor, old: Tensor) -> Tensor:
            nonlocal rate, result
            kept = self._keep(new, old, rate)
            result = kept if new is output else result
            rate = self.memory_zoneout
            return kept

        zoned = map_state(keep, following, state)
        return result, zoned

    def _keep(self, new: Tensor, old: Tensor, rate: float) -> Tensor:
        if rate == 0 or not new.is_floating_point():
            return new
        old = old.to(new.dtype)
        if self.training:
            return torch.where(torch.rand_like(new) < rate, old, new)
        return torch.lerp(new, old, rate)
