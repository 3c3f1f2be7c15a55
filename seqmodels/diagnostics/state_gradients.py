"""The gradient of each state on an encoder's way, without knowing the encoder's inside."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqmodels.diagnostics.solve import check_causal
from seqmodels.encoders import Encoder, State, map_state
from seqmodels.errors import ConfigurationError


def state_gradient_norms(
    encoder: Encoder, inputs: Tensor, lengths: Tensor, loss_of: Callable[[Tensor], Tensor], *, chunk: int = 1
) -> list[tuple[int, Tensor]]:
    """Computes ||dL/ds_t|| of each row, for the states s_t that a causal encoder carries.

    The encoder reads in chunks with carried states, which by its contract is the same as reading the whole. All that a
    later step knows of an earlier one goes through the state between them, so this is the total derivative.

    Args:
        encoder: a causal encoder.
        inputs: (batch, time, input_size).
        lengths: (batch,) int64.
        loss_of: maps the outputs (batch, time, output_size) to L, a number.
        chunk: every how many steps a state is looked at.

    Returns:
        (t, norms) of each chunk: the steps read before, and the norms (batch,) over all tensors of the state.

    Raises:
        ConfigurationError: the encoder reads the future, or the chunk is not positive.
    """
    check_causal(encoder)
    if chunk < 1:
        raise ConfigurationError(f"chunk must be at least 1 step, got {chunk}")
    reading = ChunkedReading(encoder, chunk)
    with torch.enable_grad():
        loss = loss_of(reading(inputs, lengths)[0])
    return reading.norms(loss)


class ChunkedReading(Encoder):
    """Stands in for a causal encoder: its values, read in chunks, with the states between them kept.

    Args:
        encoder: the encoder.
        chunk: every how many steps of a row a state is kept.
    """

    def __init__(self, encoder: Encoder, chunk: int) -> None:
        super().__init__(encoder.input_size, encoder.output_size, causal=True)
        self.encoder = encoder
        self.chunk = chunk
        self.boundaries: list[tuple[int, list[Tensor]]] = []  # the steps read before, and the state then

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences; see `Encoder.forward`."""
        state = self.encoder.initial_state(inputs.size(0)) if state is None else state
        outputs = []
        for start in range(0, inputs.size(1), self.chunk):
            tensors: list[Tensor] = []
            state = _keep(state, tensors)
            self.boundaries.append((start, tensors))
            part = inputs[:, start : start + self.chunk]
            read, state = self.encoder(part, (lengths - start).clamp(0, part.size(1)), state)
            outputs.append(read)
        if not outputs:
            return self.encoder(inputs, lengths, state)  # type: ignore[no-any-return]
        return torch.cat(outputs, dim=1), state

    def summary(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Returns the encoder's summary."""
        return self.encoder.summary(outputs, lengths)

    def norms(self, loss: Tensor) -> list[tuple[int, Tensor]]:
        """Returns (t, norms (batch,)) for each state that was kept: the steps read before, and ||dL/ds_t||."""
        asked = [tensor for _, tensors in self.boundaries for tensor in tensors]
        if not asked:
            return []
        gradients = iter(torch.autograd.grad(loss, asked, allow_unused=True))
        found = []
        for start, tensors in self.boundaries:
            squares = [tensors[0].new_zeros(tensors[0].size(0), dtype=torch.float32)] if tensors else []
            squares += [
                part.flatten(1).square().sum(1) for part in (next(gradients) for _ in tensors) if part is not None
            ]
            if squares:
                found.append((start, torch.stack([square.to(squares[-1]) for square in squares]).sum(0).sqrt()))
        return found


def _keep(state: State, kept: list[Tensor]) -> State:
    """Returns a state of the same values, and adds those of its tensors that can have a gradient to `kept`."""

    def keep(values: Tensor) -> Tensor:
        if not values.is_floating_point():
            return values
        kept.append(values.clone() if values.requires_grad else values.detach().clone().requires_grad_())
        return kept[-1]

    return map_state(keep, state)
