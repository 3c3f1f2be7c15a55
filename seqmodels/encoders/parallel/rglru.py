"""The real-gated linear recurrent unit of Griffin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.blocks import blocks_of, fill_block
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, narrow, widen
from seqmodels.encoders.saturation import saturate
from seqmodels.encoders.scans.linear_scan import linear_scan
from seqmodels.encoders.state import State
from seqmodels.first_derivative import first_derivative_only

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
        rate = -_SHARPNESS * softplus(widen(self.fading))
        decay, values = _Gated.apply(widen(self.gates(projected)), widen(projected), rate, padded)
        states, final = linear_scan(decay, values, state)
        return narrow(states, projected.dtype), final


class _Gated(torch.autograd.Function):
    """Computes a and sqrt(1 - a^2) * (i * x), each (batch, time, hidden_size), in blocks; 1 and 0 on padded steps.

    gates (batch, time, 2 * hidden_size) are the logits of r and i, driven (batch, time, hidden_size) is x, rate
    (hidden_size,) is log a for r = 1. The slope of sqrt(1 - a^2) by log a is -a^2 / sqrt(1 - a^2).
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, driven: Tensor, rate: Tensor, padded: Tensor | None) -> tuple[Tensor, Tensor]:
        decay, values = torch.empty_like(driven), torch.empty_like(driven)
        for block in blocks_of(driven):
            r, i = torch.sigmoid(gates[:, block]).chunk(2, dim=2)
            log_decay = fill_block(r * rate, padded, block, 0.0)
            torch.exp(log_decay, out=decay[:, block])
            scale = torch.expm1(2 * log_decay).neg_().clamp_(min=_LEAST_SQUARE).sqrt_()
            values[:, block] = fill_block(scale.mul_(i).mul_(driven[:, block]), padded, block, 0.0)
        ctx.save_for_backward(gates, driven, rate, padded, decay)
        return decay, values

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, by_decay: Tensor, by_values: Tensor) -> tuple[Tensor | None, ...]:
        gates, driven, rate, padded, decay = ctx.saved_tensors
        by_gates, by_driven, by_rate = torch.empty_like(gates), torch.empty_like(driven), torch.zeros_like(rate)
        for block in blocks_of(driven):
            r, i = torch.sigmoid(gates[:, block]).chunk(2, dim=2)
            by_r, by_i = by_gates[:, block].chunk(2, dim=2)
            square = torch.expm1(2 * r * rate).neg_()
            scale = square.clamp(min=_LEAST_SQUARE).sqrt_()
            by_value = fill_block(by_values[:, block], padded, block, 0.0)
            opened = by_value * i
            torch.mul(opened, scale, out=by_driven[:, block])
            torch.mul(by_driven[:, block], driven[:, block], out=by_i).mul_(1 - i)
            by_scale = opened.mul_(driven[:, block])
            a = decay[:, block]
            by_square = by_scale.mul_(a).div_(scale).masked_fill_(square < _LEAST_SQUARE, 0.0)
            by_log = fill_block((by_decay[:, block] - by_square).mul_(a), padded, block, 0.0)
            by_log = by_log * r
            by_rate += by_log.sum((0, 1))
            torch.mul(by_log, rate, out=by_r).mul_(1 - r)
        return by_gates, by_driven, by_rate, None
