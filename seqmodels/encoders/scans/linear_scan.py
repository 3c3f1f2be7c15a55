"""The linear recurrence h_t = a_t * h_{t-1} + b_t, element by element over a time axis, and its gradient.

Three forms compute the same: `scan_sequentially` is the definition; the chunked form, in plain torch, needs fewer and
larger operations; the kernel of `triton_scan`, on CUDA, needs one pass over the memory. Each also runs from the last
step to the first, which is what the gradient needs: no axis is ever flipped.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from seqmodels.encoders.scans.triton_scan import can_scan_on_device, scan_on_device
from seqmodels.first_derivative import first_derivative_only

# Steps walked one after another while all chunks of a block advance together; elements of a block, which stays in the
# processor's cache between the two walks over it; elements of a step from which a walk over single steps is as fast.
_CHUNK = 16
_BLOCK = 2**20
_LARGE_STEP = 2**13


def linear_scan(decay: Tensor, values: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Computes h_t = decay_t * h_{t-1} + values_t for every step, in time and memory linear in the number of steps.

    Nothing is divided and no logarithm is taken: decays of 0, negative ones and an initial state of 0 are as good as
    any. Half-precision arguments are read as float32. The gradient is the same recurrence from the end:
    g_t = grad_t + decay_{t+1} * g_{t+1}, of which values_t gets g_t, decay_t gets g_t * h_{t-1}, and h_0 gets
    decay_1 * g_1; it keeps `decay` and the result, nothing else, and has no gradient of its own.

    Args:
        decay: (batch, time, ...), at least one step; 1 on padded steps.
        values: (batch, time, ...); 0 on padded steps.
        initial: (batch, ...), h before the first step.

    Returns:
        The states after each step (batch, time, ...), and the last one (batch, ...), in float32 or wider.
    """
    dtype = accumulation_dtype(torch.promote_types(decay.dtype, values.dtype))
    states, final = _LinearScan.apply(decay.to(dtype), values.to(dtype), initial.to(dtype))
    return states, final


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Returns the type in which states are kept: float32 for anything narrower."""
    return torch.promote_types(dtype, torch.float32)


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, decay: Tensor, values: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        states = scan(decay, values, initial)
        ctx.save_for_backward(decay, states, initial)
        return states, states[:, -1].clone()

    @staticmethod
    @first_derivative_only
    def backward(ctx: FunctionCtx, by_states: Tensor, by_final: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decay, states, initial = cast("tuple[Tensor, Tensor, Tensor]", ctx.saved_tensors)  # type: ignore[attr-defined]
        by_values = gradient_scan(decay, by_states, by_final)
        by_decay = torch.empty_like(states)
        torch.mul(by_values[:, 1:], states[:, :-1], out=by_decay[:, 1:])
        torch.mul(by_values[:, 0], initial, out=by_decay[:, 0])
        return by_decay, by_values, decay[:, 0] * by_values[:, 0]


def gradient_scan(decay: Tensor, by_states: Tensor, by_final: Tensor) -> Tensor:
    """Returns g_t = by_states_t + decay_{t+1} * g_{t+1} (batch, time, ...), where `by_final` adds to the last step."""
    last = by_states[:, -1] + by_final
    result = torch.empty(by_states.shape, dtype=by_states.dtype, device=by_states.device)
    result[:, -1] = last
    if by_states.size(1) > 1:
        scan(decay[:, 1:], by_states[:, :-1], last, backward=True, out=result[:, :-1])
    return result


def scan(
    decay: Tensor, values: Tensor, initial: Tensor, *, backward: bool = False, out: Tensor | None = None
) -> Tensor:
    """Computes the states without a gradient, by the form that suits the device and the sizes.

    Args:
        decay: (batch, time, ...), at least one step.
        values: (batch, time, ...) of the same type.
        initial: (batch, ...), the state before the first step that is computed.
        backward: whether to go from the last step to the first.
        out: where to put the states; None for a new tensor.
    """
    states = torch.empty(values.shape, dtype=values.dtype, device=values.device) if out is None else out
    if values.numel() == 0:
        return states
    if can_scan_on_device(values):
        return scan_on_device(decay, values, initial, states, backward)
    step_size = values[:, 0].numel()
    if step_size >= _LARGE_STEP or values.size(1) <= _CHUNK:
        return scan_sequentially(decay, values, initial, states, backward)
    return _scan_in_blocks(decay, values, initial, states, backward, steps=max(_CHUNK, _BLOCK // step_size))


def scan_sequentially(decay: Tensor, values: Tensor, initial: Tensor, out: Tensor, backward: bool) -> Tensor:
    """Computes the states one step after another."""
    state = initial
    for a, b, h in zip(*(_in_order(tensor.unbind(1), backward) for tensor in (decay, values, out)), strict=True):
        state = torch.addcmul(b, a, state, out=h)
    return out


def _scan_in_blocks(decay: Tensor, values: Tensor, initial: Tensor, out: Tensor, backward: bool, steps: int) -> Tensor:
    """Computes the states block after block of `steps` steps."""
    state = initial
    blocks = (tensor.split(steps, dim=1) for tensor in (decay, values, out))
    for a, b, h in zip(*(_in_order(pieces, backward) for pieces in blocks), strict=True):
        whole = a.size(1) - a.size(1) % _CHUNK
        # The remainder is at the end of a whole time axis, and so comes first where time goes backward.
        for start, end in _in_order(((0, whole), (whole, a.size(1))), backward):
            if start == end:
                continue
            walk = _scan_chunks if start == 0 and whole else scan_sequentially
            walk(a[:, start:end], b[:, start:end], state, h[:, start:end], backward)
            state = h[:, start] if backward else h[:, end - 1]
    return out


def _scan_chunks(decay: Tensor, values: Tensor, initial: Tensor, out: Tensor, backward: bool) -> Tensor:
    """Computes the states of a block in chunks: what each chunk does to a state, each one's state, then all steps."""
    steps_of = (tensor.unflatten(1, (-1, _CHUNK)).unbind(2) for tensor in (decay, values, out))
    decays, additions, states = (_in_order(steps, backward) for steps in steps_of)  # each (batch, chunks, ...)
    product, total = decays[0], additions[0]
    for a, b in zip(decays[1:], additions[1:], strict=True):
        product = product * a
        total = torch.addcmul(b, a, total)
    after = scan_sequentially(product, total, initial, torch.empty_like(total), backward)
    first = initial.unsqueeze(1)
    carried = torch.cat([after[:, 1:], first] if backward else [first, after[:, :-1]], dim=1)
    for a, b, h in zip(decays, additions, states, strict=True):
        carried = torch.addcmul(b, a, carried, out=h)
    return out


def _in_order(steps: tuple, backward: bool) -> tuple:  # type: ignore[type-arg]
    return steps[::-1] if backward else steps
