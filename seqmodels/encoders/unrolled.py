"""Any cell as an encoder: its step, repeated."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.encoders.encoder import Cell, Encoder, check_batch
from seqmodels.encoders.state import State, where_rows
from seqmodels.masking import lengths_to_mask, zero_beyond


class Unrolled(Encoder):
    """Reads a sequence with one cell, step by step, in time linear in the number of steps.

    Beyond a row's length its state stays as it is. A registered cell is wrapped so by itself.

    Args:
        cell: computes one step; its sizes are the encoder's.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell.input_size, cell.output_size, causal=True)
        self.cell = cell

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences; see `Encoder.forward`. The state is the cell's.

        Raises:
            ConfigurationError: the shapes do not fit.
        """
        check_batch(self, inputs, lengths, state)
        state = self.initial_state(inputs.size(0)) if state is None else state
        if inputs.size(1) == 0:
            return inputs.new_zeros(inputs.size(0), 0, self.output_size), state
        # One `unbind` and not an index in each step: the gradient of an index is as large as the whole sequence.
        steps = zero_beyond(inputs, lengths).unbind(1)
        masks = lengths_to_mask(lengths, inputs.size(1)).unbind(1)
        outputs = []
        for step, mask in zip(steps, masks, strict=True):
            output, following = self.cell.step(step, state)
            state = where_rows(mask, following, state)
            outputs.append(output)
        return zero_beyond(torch.stack(outputs, dim=1), lengths), state

    def initial_state(self, batch_size: int) -> State:
        """Returns the cell's state before the first step, for `batch_size` rows."""
        return self.cell.initial_state(batch_size)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Computes the cell's step; see `Encoder.step`."""
        return self.cell.step(inputs, state)
