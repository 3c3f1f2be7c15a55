"""The minimal long short-term memory network."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.blocks import blocks_of, fill_block
from seqmodels.encoders.parallel.positive import positive
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, narrow, widen
from seqmodels.encoders.scans.linear_scan import linear_scan
from seqmodels.encoders.state import State
from seqmodels.first_derivative import first_derivative_only


@register_encoder("minlstm")
class MinLSTM(ParallelRecurrence):
    """A minimal long short-term memory network: its gates read the input alone, so all steps run at once.

    f = sigmoid(W_f x + b_f), i = sigmoid(W_i x + b_i), u = g(W_u x + b_u), where g(a) = a + 1/2 for a >= 0 and
    sigmoid(a) elsewhere; h = f / (f + i) * h + i / (f + i) * u. The state is h (batch, hidden_size), 0 at the start.

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.
        forget_bias: b_f at the start; 1 makes a new network remember, 0 gives both gates the same share.

    Raises:
        ConfigurationError: a size is not positive.

    Reference:
        Feng et al., Were RNNs all we needed?, 2024, section 3.2 and appendix B: i / (f + i) is computed from
        softplus(-W_f x) - softplus(-W_i x), its logit, which two closed gates do not turn into 0 / 0. The paper
        computes logarithms of sums, which asks for a positive state; this computes the same sums as they are, so it
        may be 0.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, forget_bias: float = 1.0) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        super().__init__(input_size, hidden_size)
        self.projection = nn.Linear(input_size, 3 * hidden_size)  # f, i, u
        nn.init.constant_(self.projection.bias[:hidden_size], forget_bias)

    def initial_state(self, batch_size: int) -> State:
        """Returns h = 0 for `batch_size` rows; see `Encoder.initial_state`."""
        return self._zeros(batch_size, self.output_size)

    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        projected = self.projection(inputs)
        gates, candidate = widen(projected).split([2 * self.output_size, self.output_size], dim=2)
        i = _Share.apply(gates, padded)
        states, final = linear_scan(1 - i, i * positive(candidate), state)
        return narrow(states, projected.dtype), final


class _Share(torch.autograd.Function):
    """Computes i / (f + i) (batch, time, hidden_size) from the logits of f and i, in blocks; 0 on padded steps.

    Its own logit is softplus(-a_f) - softplus(-a_i), whose slopes are -sigmoid(-a_f) and sigmoid(-a_i).
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, padded: Tensor | None) -> Tensor:
        share = gates.new_empty(*gates.shape[:2], gates.size(2) // 2)
        for block in blocks_of(share):
            forget, take = gates[:, block].chunk(2, dim=2)
            logits = softplus(-forget).sub_(softplus(-take))
            torch.sigmoid(fill_block(logits, padded, block, -math.inf), out=share[:, block])
        ctx.save_for_backward(gates, share)
        return share

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, by_share: Tensor) -> tuple[Tensor, None]:
        gates, share = ctx.saved_tensors
        by_gates = gates.new_empty(gates.shape)
        for block in blocks_of(share):
            part = share[:, block]
            by_logits = (1 - part).mul_(part).mul_(by_share[:, block])
            slopes = torch.sigmoid(-gates[:, block]).unflatten(2, (2, -1))  # (batch, time, gate, hidden_size)
            torch.mul(slopes, by_logits.unsqueeze(2), out=by_gates[:, block].unflatten(2, (2, -1)))
            by_gates[:, block, : share.size(2)].neg_()
        return by_gates, None
