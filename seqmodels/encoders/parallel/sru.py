"""The simple recurrent unit."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, fill_padding, widen
from seqmodels.encoders.scans.linear_scan import gradient_scan
from seqmodels.encoders.state import State


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
        candidate, forget, reset = widen(projected).chunk(3, dim=2)
        forget_bias, reset_bias = widen(self.bias)
        forget_weight, reset_weight = widen(self.state_weight)
        forget = fill_padding(forget + forget_bias, padded, float("inf"))
        states, final = _SelfGatedScan.apply(forget, candidate, forget_weight, state.to(candidate.dtype))
        before = torch.cat([state.to(states.dtype).unsqueeze(1), states[:, :-1]], dim=1)
        r = torch.sigmoid(reset + torch.addcmul(reset_bias, reset_weight, before))
        straight = self.scale * widen(self.highway(inputs))
        return torch.lerp(straight, states, r).to(projected.dtype), final


class _SelfGatedScan(torch.autograd.Function):
    """Computes c_t = f_t * c_{t-1} + (1 - f_t) * u_t with f_t = sigmoid(logits_t + weight * c_{t-1}), step by step.

    Its gradient is a linear recurrence, with the slope dc_t / dc_{t-1} = f + (c_{t-1} - u) * f * (1 - f) * weight as
    its decay.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, candidates: Tensor, weight: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        gates, states = torch.empty_like(candidates), torch.empty_like(candidates)
        cell = initial
        tensors = (logits, candidates, gates, states)
        for logit, u, f, c in zip(*(tensor.unbind(1) for tensor in tensors), strict=True):
            torch.addcmul(logit, weight, cell, out=f).sigmoid_()
            cell = torch.lerp(u, cell, f, out=c)
        ctx.save_for_backward(gates, candidates, weight, states, initial)
        return states, cell.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_states: Tensor, by_final: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gates, candidates, weight, states, initial = ctx.saved_tensors
        before = torch.cat([initial.unsqueeze(1), states[:, :-1]], dim=1)
        by_gate = (before - candidates).mul_(gates).mul_(1 - gates)  # the slope of c by the logit
        decay = torch.addcmul(gates, by_gate, weight)
        by_state = gradient_scan(decay, by_states, by_final)  # (batch, time, hidden_size)
        by_logits = by_gate.mul_(by_state)
        by_weight = before.mul_(by_logits).sum((0, 1))
        return by_logits, (1 - gates).mul_(by_state), by_weight, decay[:, 0] * by_state[:, 0]
