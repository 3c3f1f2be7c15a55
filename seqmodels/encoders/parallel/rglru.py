"""The real-gated linear recurrent unit of Griffin."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, fill_padding, narrow, widen
from seqmodels.encoders.saturation import saturate
from seqmodels.encoders.scans.linear_scan import linear_scan
from seqmodels.encoders.state import State

_SHARPNESS = 8.0  # c of the paper
_SLOWEST, _FASTEST = 0.999, 0.9  # of the decays of a new network, with an open gate
# Below this, 1 - a^2 counts as it: the slope of the root, at most 1000 as in the authors' code, would be infinite at 0.
_LEAST_SQUARE = 2.5e-7


@register_encoder("rglru")
class RGLRU(ParallelRecurrence):
    """The real-gated linear recurrent unit of Griffin: each feature fades at a rate of its own, which a gate slows.

    x = W x' + b for the input step x'; r = sigmoid(W_r x + b_r), i = sigmoid(W_i x + b_i); log a = -8 softplus(L) * r;
    h = a * h + sqrt(1 - a^2) * (i * x). The state is h (batch, hidden_size), 0 at the start. L starts so that a, with
    r = 1, is uniform in 0.9 to 0.999.

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.

    Raises:
        ConfigurationError: a size is not positive.

    Reference:
        De et al., Griffin: mixing gated linear recurrences with local attention, 2024, section 2.4. The linear map in
        front is that of the paper's recurrent block, which lets the sizes differ; the block's convolution and gated
        branch are not here. The gates' matrices are full, not block diagonal.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        super().__init__(input_size, hidden_size)
        self.projection = nn.Linear(input_size, hidden_size)
        self.gates = nn.Linear(hidden_size, 2 * hidden_size)  # r, i
        fading = -torch.empty(hidden_size).uniform_(_FASTEST, _SLOWEST).log() / _SHARPNESS  # softplus(L)
        self.fading = nn.Parameter(fading.expm1().log())

    def initial_state(self, batch_size: int) -> State:
        """Returns h = 0 for `batch_size` rows; see `Encoder.initial_state`."""
        return self._zeros(batch_size, self.output_size)

    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        projected = saturate(self.projection(inputs))
        gates = torch.sigmoid(widen(self.gates(projected)))
        slowing, opening = gates.chunk(2, dim=2)
        log_decay = slowing * (-_SHARPNESS * softplus(widen(self.fading)))
        scale = torch.expm1(2 * log_decay).neg().clamp(min=_LEAST_SQUARE).sqrt()
        values = fill_padding(scale * opening * widen(projected), padded, 0.0)
        states, final = linear_scan(fill_padding(log_decay, padded, 0.0).exp(), values, state)
        return narrow(states, projected.dtype), final
