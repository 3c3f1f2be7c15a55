"""The selective state space of Mamba."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, fill_padding, narrow, widen
from seqmodels.encoders.saturation import saturate
from seqmodels.encoders.scans.linear_scan import linear_scan
from seqmodels.encoders.state import State

_CHUNK = 64  # steps whose states exist at one time
_RANK_SHARE = 16  # features for each one of the low-rank map to the step sizes
_LEAST_DELTA, _GREATEST_DELTA = 0.001, 0.1  # step sizes of a new network


@register_encoder("s6")
class S6(ParallelRecurrence):
    """The selective state space of Mamba: every feature drives a small linear system whose step size the input sets.

    u = W x + b; d = softplus(W_2 W_1 u + b_d), B = W_B u, C = W_C u; H = exp(d A) * H + (d * u) B^T, with A < 0;
    h = H C + D * u. The state is H (batch, hidden_size, state_size), 0 at the start. A starts as -1, -2, … in each
    feature, D at 1, d log-uniform in 0.001 to 0.1.

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.
        state_size: values that each feature keeps.

    Raises:
        ConfigurationError: a size is not positive.

    Reference:
        Gu and Dao, Mamba: linear-time sequence modeling with selective state spaces, 2023, algorithm 2 and section 3.6:
        the selective state space alone, without the block's convolution and gated branch. The linear map W in front is
        that of the block, which lets the sizes differ. W_1 has a sixteenth of the features.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, state_size: int = 16) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, state_size=state_size)
        super().__init__(input_size, hidden_size)
        self.state_size = state_size
        rank = math.ceil(hidden_size / _RANK_SHARE)
        self.projection = nn.Linear(input_size, hidden_size)
        self.selection = nn.Linear(hidden_size, rank + 2 * state_size, bias=False)  # W_1, W_B, W_C
        self.delta = nn.Linear(rank, hidden_size)
        nn.init.uniform_(self.delta.weight, -(rank**-0.5), rank**-0.5)
        deltas = torch.empty(hidden_size).uniform_(math.log(_LEAST_DELTA), math.log(_GREATEST_DELTA)).exp()
        self.delta.bias.detach().copy_(deltas.expm1().log())  # softplus of it is the delta
        rates = torch.arange(1.0, state_size + 1).log()
        self.log_rate = nn.Parameter(rates.repeat(hidden_size, 1))  # log(-A)
        self.skip = nn.Parameter(torch.ones(hidden_size))  # D

    def initial_state(self, batch_size: int) -> State:
        """Returns H = 0 for `batch_size` rows; see `Encoder.initial_state`."""
        return self._zeros(batch_size, self.output_size, self.state_size)

    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        projected = saturate(self.projection(inputs))
        rank = self.delta.in_features
        low, write, read = saturate(self.selection(projected)).split([rank, self.state_size, self.state_size], dim=2)
        delta = fill_padding(softplus(widen(self.delta(low))), padded, 0.0)  # a step of size 0 changes nothing
        driven = widen(projected)
        rate = -widen(self.log_rate).exp()
        state = state.to(driven.dtype)
        pieces = []
        steps = (delta, delta * driven, widen(write), widen(read))
        for chunk in zip(*(tensor.split(_CHUNK, dim=1) for tensor in steps), strict=True):
            # The states, state_size times as large as the outputs, are computed again for the gradient.
            outputs, state = checkpoint(_read_chunk, rate, *chunk, state, use_reentrant=False, preserve_rng_state=False)
            pieces.append(outputs)
        outputs = torch.addcmul(torch.cat(pieces, dim=1), driven, widen(self.skip))
        return narrow(outputs, projected.dtype), state


def _read_chunk(
    rate: Tensor, delta: Tensor, driven: Tensor, write: Tensor, read: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns H C (batch, time, hidden_size) of each step of a chunk, and the last H.

    Args:
        rate: A (hidden_size, state_size).
        delta: d (batch, time, hidden_size).
        driven: d * u (batch, time, hidden_size).
        write: B (batch, time, state_size).
        read: C (batch, time, state_size).
        state: H (batch, hidden_size, state_size) before the chunk.
    """
    decay = torch.exp(delta.unsqueeze(3) * rate)  # (batch, time, hidden_size, state_size)
    states, final = linear_scan(decay, driven.unsqueeze(3) * write.unsqueeze(2), state)
    return (states @ read.unsqueeze(3)).squeeze(3), final
