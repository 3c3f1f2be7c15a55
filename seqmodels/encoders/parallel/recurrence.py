"""What the parallel recurrences share: the padding, the empty batch, and the step as a sequence of one."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from seqmodels.encoders.encoder import Encoder, check_batch
from seqmodels.encoders.saturation import saturate
from seqmodels.encoders.scans.linear_scan import accumulation_dtype
from seqmodels.encoders.state import State
from seqmodels.masking import lengths_to_mask, zero_beyond


class ParallelRecurrence(Encoder):
    """A causal encoder whose work is done for all steps at once, but for a cheap recurrence.

    Its state is kept in float32 where its weights are narrower: many small additions would be lost.

    Args:
        input_size: features of each input step.
        output_size: features of each output step.
    """

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__(input_size, output_size, causal=True)

    @abstractmethod
    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Computes all steps.

        Args:
            inputs: (batch, time, input_size), at least one step, zero where padded.
            lengths: (batch,) int64.
            padded: (batch, time, 1), True on padded steps, where the recurrence must be the identity; None if there
                are none.
            state: what `initial_state` and this return.

        Returns:
            outputs (batch, time, output_size), anything finite on padded steps; and the state after the last real step.
        """

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences; see `Encoder.forward`.

        Raises:
            ConfigurationError: the shapes do not fit.
        """
        check_batch(self, inputs, lengths, state)
        state = self.initial_state(inputs.size(0)) if state is None else state
        batch, time = inputs.shape[:2]
        if batch == 0 or time == 0:
            return inputs.new_zeros(batch, time, self.output_size), state
        # Looking at the lengths is free where they lie in the memory of the CPU; a traced graph must hold for all.
        look = lengths.device.type == "cpu" and not torch.compiler.is_compiling()
        if look and not bool((lengths < time).any()):
            return self._run(inputs, lengths, None, state)
        padded = ~lengths_to_mask(lengths, time).unsqueeze(2)
        outputs, state = self._run(zero_beyond(inputs, lengths), lengths, padded, state)
        return zero_beyond(outputs, lengths), state

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Encodes one step; see `Encoder.step`."""
        lengths = torch.ones(inputs.size(0), dtype=torch.int64, device=inputs.device)
        outputs, state = self._run(inputs.unsqueeze(1), lengths, None, state)
        return outputs.squeeze(1), state

    def _zeros(self, batch_size: int, *sizes: int) -> Tensor:
        """Returns a part of the initial state, (batch, *sizes)."""
        weight = next(self.parameters())
        return weight.new_zeros(batch_size, *sizes, dtype=accumulation_dtype(weight.dtype))


def widen(values: Tensor) -> Tensor:
    """Returns the values in the type of the states: a decay near 1 has no digits left in half precision.

    Where a product left float16, its largest number stands for infinity, of which gates would make NaN.
    """
    return saturate(values).to(accumulation_dtype(values.dtype))


def narrow(outputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns the outputs in the type of the weights, and the largest number of float16 for those beyond it."""
    return saturate(outputs.to(dtype))


def fill_padding(values: Tensor, padded: Tensor | None, filling: float) -> Tensor:
    """Returns `values` (batch, time, ...) with `filling` on padded steps, which (batch, time, 1) tells, if any."""
    return values if padded is None else values.masked_fill(padded, filling)
