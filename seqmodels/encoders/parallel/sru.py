"""The simple recurrent unit."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.blocks import blocks_of, fill_block
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, narrow, widen
from seqmodels.encoders.scans.linear_scan import scan
from seqmodels.encoders.state import State
from seqmodels.first_derivative import first_derivative_only


@register_encoder("sru")
class SRU(ParallelRecurrence):
    """A simple recurrent unit: its gates see the old state element by element only, so its matrices wait for nothing.

    u = W x; f = sigmoid(W_f x + v_f * c' + b_f) and r = sigmoid(W_r x + v_r * c' + b_r), where c' is the old c;
    c = f * c' + (1 - f) * u; h = r * c + (1 - r) * alpha * x, where a matrix without bias maps x where the sizes
    differ, and alpha = sqrt(1 + 2 exp(highway_bias)). The state is c (batch, hidden_size), 0 at the start.

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.
        highway_bias: b_r at the start; negative lets the input through, as -3 in a deep stack. alpha follows it, so
            that the outputs vary as much as the inputs.

    Raises:
        ConfigurationError: a size is not positive.

    Reference:
        Lei et al., Simple recurrent units for highly parallelizable recurrence, 2018, sections 3.1 and 3.2.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, highway_bias: float = 0.0) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        super().__init__(input_size, hidden_size)
        self.projection = nn.Linear(input_size, 3 * hidden_size, bias=False)  # u, f, r
        self.bias = nn.Parameter(torch.zeros(2, hidden_size))  # f, r
        self.bias.detach()[1] = highway_bias
        self.state_weight = nn.Parameter(torch.empty(2, hidden_size).uniform_(-1, 1))  # v_f, v_r
        self.scale = math.sqrt(1 + 2 * math.exp(highway_bias))
        self.highway: nn.Module = nn.Identity()
        bound = math.sqrt(3 / input_size)  # of a variance of 1 / input_size
        nn.init.uniform_(self.projection.weight, -bound, bound)
        if input_size != hidden_size:
            self.highway = nn.Linear(input_size, hidden_size, bias=False)
            nn.init.uniform_(self.highway.weight, -bound, bound)

    def initial_state(self, batch_size: int) -> State:
        """Returns c = 0 for `batch_size` rows; see `Encoder.initial_state`."""
        return self._zeros(batch_size, self.output_size)

    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        projected = self.projection(inputs)
        wide = widen(projected)
        straight, initial = widen(self.highway(inputs)).to(wide.dtype), state.to(wide.dtype)
        bias, weight = widen(self.bias), widen(self.state_weight)
        outputs, final = _SelfGated.apply(wide, straight, bias, weight, initial, padded, self.scale)
        return narrow(outputs, projected.dtype), final


class _SelfGated(torch.autograd.Function):
    """Computes the outputs (batch, time, hidden_size) and the last state, a block of steps after another.

    projected (batch, time, 3 * hidden_size) holds W x for u, f and r, straight (batch, time, hidden_size) is x before
    alpha, bias and weight (2, hidden_size) are those of f and r. Only c goes step by step; all else of a block is done
    at once. Kept for the gradient is c, as the gates follow from it at once. The gradient is a linear recurrence, whose
    decay is the slope of c by c': f + (c' - u) * f * (1 - f) * v_f.
    """

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        straight: Tensor,
        bias: Tensor,
        weight: Tensor,
        initial: Tensor,
        padded: Tensor | None,
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        states, outputs = torch.empty_like(straight), torch.empty_like(straight)
        cell = initial
        for block in blocks_of(straight):
            u, f_logits, r_logits = projected[:, block].chunk(3, dim=2)
            f_logits = fill_block(f_logits + bias[0], padded, block, math.inf)
            c = states[:, block]
            before = torch.cat([cell.unsqueeze(1), _walk(f_logits, u, weight[0], cell, c)[:, :-1]], dim=1)
            cell = c[:, -1]
            r = torch.addcmul(r_logits + bias[1], before, weight[1]).sigmoid_()
            torch.lerp(scale * straight[:, block], c, r, out=outputs[:, block])
        ctx.save_for_backward(projected, straight, bias, weight, initial, padded, states)
        ctx.scale = scale
        return outputs, cell.clone()

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, by_outputs: Tensor, by_final: Tensor) -> tuple[Tensor | None, ...]:
        projected, straight, bias, weight, initial, padded, states = ctx.saved_tensors
        by_projected, by_straight = torch.empty_like(projected), torch.empty_like(straight)
        by_bias, by_weight = torch.zeros_like(bias), torch.zeros_like(weight)
        by_cell = by_final  # by the state after the block
        for block in blocks_of(straight)[::-1]:
            u, f_logits, r_logits = projected[:, block].chunk(3, dim=2)
            by_u, by_f, by_r = by_projected[:, block].chunk(3, dim=2)  # of the gates, by their logits
            c, by_h = states[:, block], by_outputs[:, block]
            first = initial if block.start == 0 else states[:, block.start - 1]
            before = torch.cat([first.unsqueeze(1), c[:, :-1]], dim=1)
            f_logits = torch.addcmul(f_logits + bias[0], before, weight[0])
            f = fill_block(f_logits, padded, block, math.inf).sigmoid_()
            r = torch.addcmul(r_logits + bias[1], before, weight[1]).sigmoid_()
            open_r = 1 - r
            torch.mul(by_h, open_r, out=by_straight[:, block]).mul_(ctx.scale)
            torch.sub(c, straight[:, block], alpha=ctx.scale, out=by_r).mul_(r).mul_(open_r).mul_(by_h)
            by_output = r.mul_(by_h)  # by c, through h of its own step
            closed_f = 1 - f
            f_slope = (before - u).mul_(f).mul_(closed_f)
            decay = torch.addcmul(f, f_slope, weight[0])
            # by c', through the steps behind it: what its own step adds to it, and what that step's c hands on
            by_before = scan(decay, torch.addcmul(by_r * weight[1], decay, by_output), by_cell, backward=True)
            by_c = by_output  # by c, through all
            by_c[:, :-1] += by_before[:, 1:]
            by_c[:, -1] += by_cell
            by_cell = by_before[:, 0]
            torch.mul(by_c, closed_f, out=by_u)
            torch.mul(by_c, f_slope, out=by_f)
            for gate, by_logits in enumerate((by_f, by_r)):
                by_bias[gate] += by_logits.sum((0, 1))
                by_weight[gate] += (by_logits * before).sum((0, 1))
        return by_projected, by_straight, by_bias, by_weight, by_cell, None, None


def _walk(logits: Tensor, candidates: Tensor, weight: Tensor, initial: Tensor, out: Tensor) -> Tensor:
    """Computes c = f * c' + (1 - f) * u with f = sigmoid(logits + weight * c'), step by step, into `out`."""
    # Steps that lie in one piece take half the time.
    logits = logits.transpose(0, 1).contiguous()
    states = candidates.transpose(0, 1).contiguous()  # (time, batch, hidden_size), u until its step is done
    weight, cell = weight.expand_as(initial).contiguous(), initial
    for logit, c in zip(logits.unbind(0), states.unbind(0), strict=True):
        f = logit.addcmul_(weight, cell).sigmoid_()
        cell = torch.lerp(c, cell, f, out=c)
    return out.copy_(states.transpose(0, 1))
