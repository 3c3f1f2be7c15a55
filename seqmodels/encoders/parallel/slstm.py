"""The scalar LSTM of xLSTM."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.heads import check_heads, forget_biases
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, fill_padding, narrow, widen
from seqmodels.encoders.state import State, where_rows
from seqmodels.first_derivative import first_derivative_only
from seqmodels.masking import last_step

# The scale of an empty memory. Any does, as the first step divides it out, but a low one leaves that step its digits.
_EMPTY = -10_000.0


@register_encoder("slstm")
class SLSTM(ParallelRecurrence):
    """The scalar LSTM of xLSTM, with exponential gates; it sees its own output, so it goes step by step.

    z = tanh(W_z x + R_z h' + b_z), a_i = W_i x + R_i h' + b_i, a_f = W_f x + R_f h' + b_f,
    o = sigmoid(W_o x + R_o h' + b_o), where h' is the last output; i = exp(a_i), f = sigmoid(a_f);
    c = f * c + i * z, n = f * n + i, h = o * c / n. What is kept is c and n divided by exp(m), with
    m = max(log f + m, a_i), so that nothing overflows. The state is h, c, n and m, each (batch, hidden_size).

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.
        num_heads: groups of features; the recurrent matrices R connect features of one group only. A divisor of
            `hidden_size`; 1 connects all.

    Raises:
        ConfigurationError: a size is not positive, or the heads do not divide the features.

    Reference:
        Beck et al., xLSTM: extended long short-term memory, 2024, section 2.2 and appendix A.2: the cell alone, without
        the block of convolution, group normalisation and projections around it. Of the two forget gates that the paper
        allows, the sigmoid. b_f starts spread from 3 to 6, as in the authors' code, and R at 0.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, num_heads: int = 1) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, num_heads=num_heads)
        check_heads(self, hidden_size, num_heads)
        super().__init__(input_size, hidden_size)
        self.num_heads = num_heads
        self.projection = nn.Linear(input_size, 4 * hidden_size)  # z, i, f, o
        size = hidden_size // num_heads
        self.recurrent_weight = nn.Parameter(torch.zeros(4, num_heads, size, size))  # gate, head, from, to
        nn.init.zeros_(self.projection.bias)
        self.projection.bias.detach()[2 * hidden_size : 3 * hidden_size] = forget_biases(hidden_size)

    def initial_state(self, batch_size: int) -> State:
        """Returns h, c and n of 0, and the scale of an empty memory; see `Encoder.initial_state`."""
        h, c, n, m = (self._zeros(batch_size, self.output_size) for _ in range(4))
        return h, c, n, m + _EMPTY

    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        projected = self.projection(inputs)
        gates = widen(projected).unflatten(2, (4, self.num_heads, -1))  # (batch, time, gate, head, size)
        if padded is not None:
            padded = padded.unsqueeze(3)  # (batch, time, 1, 1)
            z, i, f, o = gates.unbind(2)
            gates = torch.stack([z, fill_padding(i, padded, -math.inf), fill_padding(f, padded, math.inf), o], dim=2)
        weight = widen(self.recurrent_weight).permute(1, 2, 0, 3).flatten(2)  # (head, size, gates of size)
        parts = [part.to(weight.dtype).unflatten(1, (self.num_heads, -1)).transpose(0, 1) for part in state]
        with torch.autocast(inputs.device.type, enabled=False):  # an exponential gate needs its digits
            outputs, *final = _StepByStep.apply(gates.permute(1, 3, 0, 2, 4).flatten(3), weight, *parts)
        outputs = outputs.permute(2, 0, 1, 3).flatten(2)  # (batch, time, hidden_size)
        c, n, m = (part.transpose(0, 1).flatten(1) for part in final)
        h = where_rows(lengths > 0, last_step(outputs, lengths), state[0])
        return narrow(outputs, projected.dtype), (h, c, n, m)


class _StepByStep(torch.autograd.Function):
    """Computes the recurrence of the sLSTM; all that needs no earlier step's result is done for all steps at once.

    gates (time, head, batch, 4 * size), weight (head, size, 4 * size), h, c, n and m (head, batch, size) to the outputs
    (time, head, batch, size) and the last c, n and m.
    """

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, weight: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        hs, cs, ns, steps = [h], [c], [n], []
        for gate in gates.unbind(0):
            z, i, f, o = torch.baddbmm(gate, h, weight).chunk(4, dim=2)
            z, o = torch.tanh(z), torch.sigmoid(o)
            kept = logsigmoid(f) + m
            m = torch.maximum(kept, i)
            steps.append((z, torch.exp(i - m), torch.exp(kept - m), o, torch.sigmoid(-f), (kept > i).to(m.dtype)))
            z, i, f, o, *_ = steps[-1]
            c, n = torch.addcmul(i * z, f, c), torch.addcmul(i, f, n)
            # n is at least 1, as m is the largest exponent in it, but 0 where nothing has been read yet.
            h = o * c / n.clamp(min=1)
            hs.append(h)
            cs.append(c)
            ns.append(n)
        kept_for_gradient = (hs, cs, ns, *map(list, zip(*steps, strict=True)))
        ctx.save_for_backward(weight, *(torch.stack(values) for values in kept_for_gradient))
        return torch.stack(hs[1:]), c, n, m

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, by_outputs: Tensor, by_c: Tensor, by_n: Tensor, by_m: Tensor) -> tuple[Tensor, ...]:
        weight, hs, cs, ns, z, i, f, o, slope, kept_wins = ctx.saved_tensors
        divisor = ns[1:].clamp(min=1)
        ratio = cs[1:] / divisor
        c_by_h = o / divisor
        n_by_h = -c_by_h * ratio
        # Slopes of c and of n by log f + m and by a_i, where m stands still; then those of what enters each gate.
        slopes = (c_by_h, n_by_h, f * cs[:-1], f * ns[:-1], i * z, i, i * (1 - z * z), slope, ratio * o * (1 - o), f)
        by_gates = torch.empty(*z.shape[:3], 4, z.size(3), dtype=z.dtype, device=z.device)
        by_h, transposed = torch.zeros_like(by_c), weight.transpose(1, 2)
        walk = zip(*(tensor.unbind(0) for tensor in (by_outputs, by_gates, kept_wins, *slopes)), strict=True)
        for by_output, by_gate, wins, c_h, n_h, c_kept, n_kept, c_i, n_i, c_z, f_slope, o_slope, f_t in [*walk][::-1]:
            by_h = by_h + by_output
            by_c, by_n = torch.addcmul(by_c, by_h, c_h), torch.addcmul(by_n, by_h, n_h)
            by_kept, by_i = torch.addcmul(by_c * c_kept, by_n, n_kept), torch.addcmul(by_c * c_i, by_n, n_i)
            by_scale = by_m - by_kept - by_i
            by_m = torch.addcmul(by_kept, by_scale, wins)
            z_gate, i_gate, f_gate, o_gate = by_gate.unbind(2)
            torch.mul(by_c, c_z, out=z_gate)
            torch.addcmul(by_i + by_scale, by_scale, wins, value=-1, out=i_gate)
            torch.mul(by_m, f_slope, out=f_gate)
            torch.mul(by_h, o_slope, out=o_gate)
            by_c, by_n = by_c * f_t, by_n * f_t
            by_h = torch.bmm(by_gate.flatten(2), transposed)
        by_gates = by_gates.flatten(3)
        by_weight = torch.einsum("thbs,thbg->hsg", hs[:-1], by_gates)
        return by_gates, by_weight, by_h, by_c, by_n, by_m
