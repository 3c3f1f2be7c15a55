"""The minimal gated recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.positive import positive
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, fill_padding, narrow, widen
from seqmodels.encoders.scans.linear_scan import linear_scan
from seqmodels.encoders.state import State


@register_encoder("mingru")
class MinGRU(ParallelRecurrence):
    """A minimal gated recurrent unit: the gate and the candidate read the input alone, so all steps run at once.

    z = sigmoid(W_z x + b_z), u = g(W_u x + b_u), where g(a) = a + 1/2 for a >= 0 and sigmoid(a) elsewhere;
    h = (1 - z) * h + z * u. The state is h (batch, hidden_size), 0 at the start.

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.

    Raises:
        ConfigurationError: a size is not positive.

    Reference:
        Feng et al., Were RNNs all we needed?, 2024, section 3.1 and appendix B. The paper computes logarithms of sums,
        which asks for a positive state; this computes the same sums as they are, so it may be 0.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        super().__init__(input_size, hidden_size)
        self.projection = nn.Linear(input_size, 2 * hidden_size)  # z, u

    def initial_state(self, batch_size: int) -> State:
        """Returns h = 0 for `batch_size` rows; see `Encoder.initial_state`."""
        return self._zeros(batch_size, self.output_size)

    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        projected = self.projection(inputs)
        gate, candidate = widen(projected).chunk(2, dim=2)
        z = torch.sigmoid(fill_padding(gate, padded, float("-inf")))
        states, final = linear_scan(1 - z, z * positive(candidate), state)
        return narrow(states, projected.dtype), final
