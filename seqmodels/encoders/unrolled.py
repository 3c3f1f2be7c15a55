"""Any cell as an encoder: its step, repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqmodels.encoders.encoder import Cell, Encoder, check_batch
from seqmodels.encoders.state import State, tensors_of, where_rows
from seqmodels.errors import ConfigurationError
from seqmodels.masking import lengths_to_mask, zero_beyond


class Unrolled(Encoder):
    """Reads a sequence with one cell, step by step, in time linear in the number of steps.

    What the cell computes of the inputs alone (`Cell.project`) is computed for all steps at once. Beyond a row's length
    its state stays as it is. A registered cell is wrapped so by itself.

    Args:
        cell: computes one step; its sizes are the encoder's.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell.input_size, cell.output_size, causal=True)
        self.cell = cell

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences; see `Encoder.forward`. The state is the cell's.

        Raises:
            ConfigurationError: the shapes do not fit, or the cell returns others than it should.
        """
        check_batch(self, inputs, lengths, state)
        state = self.initial_state(inputs.size(0)) if state is None else state
        if inputs.size(1) == 0:
            return inputs.new_zeros(inputs.size(0), 0, self.output_size), state
        # One `unbind` and not an index in each step: the gradient of an index is as large as the whole sequence.
        steps = self.cell.project(zero_beyond(inputs, lengths)).unbind(1)
        masks = lengths_to_mask(lengths, inputs.size(1)).unbind(1)
        shortest = _shortest(lengths)
        outputs = []
        for time, (step, mask) in enumerate(zip(steps, masks, strict=True)):
            stepped = self.cell.step_projected(step, state)
            if time == 0:
                self._check_step(inputs.size(0), stepped, state)
            output, following = stepped
            state = following if time < shortest else where_rows(mask, following, state)
            outputs.append(output)
        return zero_beyond(torch.stack(outputs, dim=1), lengths), state

    def initial_state(self, batch_size: int) -> State:
        """Returns the cell's state before the first step, for `batch_size` rows."""
        return self.cell.initial_state(batch_size)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Computes the cell's step; see `Encoder.step`.

        Raises:
            ConfigurationError: the cell returns other shapes than it should.
        """
        stepped = self.cell.step(inputs, state)
        self._check_step(inputs.size(0), stepped, state)
        output, following = stepped
        return output, following

    def _check_step(self, batch_size: int, stepped: object, state: State) -> None:
        name = type(self.cell).__name__
        if not isinstance(stepped, tuple | list) or len(stepped) != 2:
            raise ConfigurationError(
                f"{name}.step: expected the pair (output, next state), in this order, got "
                f"{f'{len(stepped)} values' if isinstance(stepped, tuple | list) else f'a {type(stepped).__name__}'}"
            )
        output, following = stepped
        if _layout_of(output) != (batch_size, self.output_size):
            raise ConfigurationError(
                f"{name}.step: expected an output of shape {(batch_size, self.output_size)}, which is (batch, "
                f"output_size), got {_layout_of(output)}; return (output, next state), in this order, or pass another "
                f"output_size to super().__init__"
            )
        if _layout_of(following) != _layout_of(state):
            raise ConfigurationError(
                f"{name}.step: expected a next state built as the one that it is given, of shapes {_layout_of(state)}, "
                f"got {_layout_of(following)}; the first axis is batch, in `initial_state` too"
            )
        for part in tensors_of(state):
            if part.dim() == 0 or part.size(0) != batch_size:
                raise ConfigurationError(
                    f"{name}: expected each tensor of the state to have batch, {batch_size}, as its first axis, got "
                    f"the shape {tuple(part.shape)}; make it so in `initial_state` and in `step`"
                )


def _layout_of(state: State) -> Any:
    """Returns the state with the shape of each tensor in its place, and the type of what is none."""
    if isinstance(state, Tensor):
        return tuple(state.shape)
    if isinstance(state, Mapping):
        return {key: _layout_of(value) for key, value in state.items()}
    if isinstance(state, tuple | list):
        return [_layout_of(value) for value in state]
    return type(state).__name__


def _shortest(lengths: Tensor) -> int:
    """Returns how many steps all rows have, or 0 where looking would cost a synchronisation or break a graph."""
    if lengths.device.type != "cpu" or torch.compiler.is_compiling() or lengths.numel() == 0:
        return 0
    return int(lengths.min())
