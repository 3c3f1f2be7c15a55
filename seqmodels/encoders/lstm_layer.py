"""A layer of an LSTM in bfloat16 on CPUs, with its gradient written by hand, where torch's kernel cannot be relied on.

On CPUs with matrix units (AMX), the gradient of torch's kernel in bfloat16 reads memory that nobody has written, where
the hidden size is above 1,024 and no multiple of 32 (oneDNN 3.12, torch 2.13): once in a few hundred steps that is NaN.
It is slow there too. Here the product with the inputs and the gradients of the weights are one product each for all
steps; what is left to a step is its product with h, and what is elementwise stays in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqmodels.first_derivative import first_derivative_only
from seqmodels.precision import product_type

LARGE = 1024  # features of h from which on this is the faster (scripts/benchmark_encoders.py measures it)


def prefers_own_layer(inputs: Tensor, hidden_size: int) -> bool:
    """Tells whether `lstm_layer` is to be taken: for large layers trained in bfloat16 on a CPU."""
    return (
        hidden_size >= LARGE
        and inputs.device.type == "cpu"
        and product_type(inputs) == torch.bfloat16
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


def lstm_layer(inputs: Tensor, h: Tensor, c: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Runs one layer in one direction, as `torch.lstm` does.

    Products are computed in the type that autocast, or else the inputs, have; the gates and c in float32.

    Args:
        inputs: (batch, time, input_size), of one step at least.
        h: (batch, hidden_size), the state before the first step.
        c: (batch, hidden_size), likewise.
        weights: of the inputs (4 * hidden_size, input_size), recurrent (4 * hidden_size, hidden_size), and the two
            biases (4 * hidden_size,); the gates in the order of torch: input, forget, candidate, output.

    Returns:
        The outputs (batch, time, hidden_size) and h (batch, hidden_size) in the type of the products, and c in float32.
    """
    kind = product_type(inputs)
    with torch.autocast(inputs.device.type, enabled=False):
        return _LSTMLayer.apply(inputs, h, c, *weights, kind)  # type: ignore[no-any-return, no-untyped-call]


class _LSTMLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        h: Tensor,
        c: Tensor,
        input_weight: Tensor,
        recurrent_weight: Tensor,
        input_bias: Tensor,
        recurrent_bias: Tensor,
        kind: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, time, _ = inputs.shape
        size = h.size(1)
        flat = inputs.transpose(0, 1).to(kind).flatten(0, 1)  # (time * batch, input_size)
        by_input, by_state = input_weight.to(kind), recurrent_weight.to(kind)
        bias = (input_bias + recurrent_bias).to(kind)
        scores = torch.addmm(bias, flat, by_input.t()).view(time, batch, 4 * size)
        gates = torch.empty(time, batch, 4, size)  # float32: input, forget, candidate, output
        cells = torch.empty(time + 1, batch, size)
        states = flat.new_empty(time + 1, batch, size)
        cells[0], states[0] = c, h
        previous = zip(states[:-1].unbind(), cells[:-1].unbind(), strict=True)
        new = zip(states[1:].unbind(), cells[1:].unbind(), strict=True)
        for score, gate, (before, cell_before), (after, cell) in zip(
            scores.unbind(), gates.unbind(), previous, new, strict=True
        ):
            score.addmm_(before, by_state.t())
            gate.copy_(score.view(batch, 4, size))
            gate[:, :2].sigmoid_()
            gate[:, 2].tanh_()
            gate[:, 3].sigmoid_()
            enter, keep, candidate, show = gate.unbind(1)
            torch.mul(keep, cell_before, out=cell)
            cell.addcmul_(enter, candidate)
            torch.mul(show, cell.tanh(), out=after)
        ctx.save_for_backward(flat, by_input, by_state, gates, cells, states)
        ctx.types = [part.dtype for part in (inputs, h, c, input_weight, recurrent_weight, input_bias, recurrent_bias)]
        return states[1:].transpose(0, 1), states[-1].clone(), cells[-1].clone()

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, by_outputs: Tensor, by_h: Tensor, by_c: Tensor) -> tuple[Tensor | None, ...]:
        flat, input_weight, recurrent_weight, gates, cells, states = ctx.saved_tensors
        time, batch, _, size = gates.shape
        by_scores = flat.new_empty(time, batch, 4, size)
        factors = torch.empty(batch, 4, size)
        by_state, by_cell = by_h.float(), by_c.float().clone()
        for step in reversed(range(time)):
            gate = gates[step]
            enter, keep, candidate, show = gate.unbind(1)
            shown = cells[step + 1].tanh()
            by_output = by_state + by_outputs[:, step]
            through = by_output * show
            by_cell += through
            by_cell.addcmul_(through.mul_(shown), shown, value=-1)  # (1 - tanh^2) through
            slopes = torch.addcmul(gate, gate, gate, value=-1)  # of the sigmoids, g (1 - g)
            torch.addcmul(enter, enter * candidate, candidate, value=-1, out=slopes[:, 2])  # and i (1 - tanh^2)
            torch.mul(by_cell, candidate, out=factors[:, 0])
            torch.mul(by_cell, cells[step], out=factors[:, 1])
            factors[:, 2] = by_cell
            torch.mul(by_output, shown, out=factors[:, 3])
            torch.mul(slopes, factors, out=by_scores[step])
            by_cell *= keep
            by_state = (by_scores[step].view(batch, 4 * size) @ recurrent_weight).float()
        rows = by_scores.view(time * batch, 4 * size)
        by_bias = rows.sum(0, dtype=torch.float32)
        by_inputs = (rows @ input_weight).view(time, batch, -1).transpose(0, 1)
        by_input_weight, by_recurrent_weight = rows.t() @ flat, rows.t() @ states[:-1].flatten(0, 1)
        gradients = (by_inputs, by_state, by_cell, by_input_weight, by_recurrent_weight, by_bias, by_bias)
        return *(gradient.to(type_) for gradient, type_ in zip(gradients, ctx.types, strict=True)), None
