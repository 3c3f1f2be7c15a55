"""From what an encoder made of a source to the state in which a decoder begins."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.encoders.encoder import Encoder
from seqmodels.encoders.state import State, map_state


class Bridge(nn.Module):
    """Makes the first state of a layer, whatever its structure, of a vector of any size.

    `state = initial_state + tanh(W summary + b)`, cut into the tensors of the state; tensors of whole numbers stay as
    they are. An initial state that marks a memory as empty, as the sLSTM's does, stays so: there h alone tells of the
    source.

    Args:
        summary_size: features of the summary, as many as the encoder has outputs (both directions together).
        layer: a causal encoder; only the shapes of its state are looked at. W has a row for each number of the state,
            which is large where a state holds matrices.

    Reference:
        Cho et al. (2014), Learning phrase representations using RNN encoder-decoder for statistical machine
        translation, appendix A.1.2; for the LSTM, c begins so, too.
    """

    def __init__(self, summary_size: int, layer: Encoder) -> None:
        super().__init__()
        self.sizes = [part.numel() for part in _real_parts(layer.initial_state(1))]
        self.projection = nn.Linear(summary_size, sum(self.sizes))

    def forward(self, summary: Tensor, initial: State) -> State:
        """Returns the layer's first state.

        Args:
            summary: (batch, summary_size).
            initial: the layer's `initial_state` of as many rows.
        """
        parts = iter(torch.split(torch.tanh(self.projection(summary)), self.sizes, dim=1))

        def add(part: Tensor) -> Tensor:
            return part + next(parts).view_as(part).to(part.dtype) if part.is_floating_point() else part

        return map_state(add, initial)


def _real_parts(state: State) -> list[Tensor]:
    """Returns the tensors of a state that hold real numbers."""
    found: list[Tensor] = []

    def note(part: Tensor) -> Tensor:
        found.append(part)
        return part

    map_state(note, state)
    return [part for part in found if part.is_floating_point()]
