"""The linear recurrence on CUDA, as a Triton kernel; plain torch takes its place where Triton is not installed.

Time is cut into tiles. What a tile does to the state before it is a product and a sum; the tiles' states are the same
recurrence over far fewer steps, so they come from the same function; then every tile computes its steps. Each element
is read twice and written once.
"""

# The kernels' arguments have no types that mypy knows.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

triton: Any = None
if torch.version.cuda is not None:  # a torch without CUDA has no use for it, and importing it takes 0.4 s
    try:
        import triton  # type: ignore[no-redef]
        import triton.language as tl
    except ImportError:
        pass

_TILE_STEPS = 64
_TILE_FEATURES = 32
_DTYPES = (torch.float32, torch.float64)


def can_scan_on_device(values: Tensor) -> bool:
    """Tells whether `scan_on_device` can run on tensors like `values`."""
    return triton is not None and values.is_cuda and values.dtype in _DTYPES


def scan_on_device(decay: Tensor, values: Tensor, initial: Tensor, out: Tensor, backward: bool) -> Tensor:
    """Computes h_t = decay_t * h_{t-1} + values_t; see `linear_scan.scan`.

    Args:
        decay: (batch, time, ...), on CUDA.
        values: (batch, time, ...).
        initial: (batch, ...).
        out: (batch, time, ...), where the states are put; the axes after time contiguous.
        backward: whether to go from the last step to the first.
    """
    batch, time = values.shape[:2]
    decay, values = _flatten(decay, batch, time), _flatten(values, batch, time)
    states = out.view(batch, time, -1)
    before = initial.reshape(batch, 1, -1)
    num_tiles = -(-time // _TILE_STEPS)
    if num_tiles > 1:
        product, total = (values.new_empty(batch, num_tiles, states.size(2)) for _ in range(2))
        _launch(_summarize_tile, decay, values, product, total, backward)
        after = scan_on_device(product, total, initial.reshape(batch, -1), torch.empty_like(total), backward)
        before = torch.cat([after[:, 1:], before] if backward else [before, after[:, :-1]], dim=1)
    _launch(_scan_tile, decay, values, before.contiguous(), states, backward)
    return out


def _flatten(tensor: Tensor, batch: int, time: int) -> Tensor:
    """Returns (batch, time, features) with neighbouring features side by side in memory."""
    tensor = tensor.reshape(batch, time, -1)
    return tensor if tensor.stride(2) == 1 else tensor.contiguous()


def _launch(kernel: Any, decay: Tensor, values: Tensor, first: Tensor, second: Tensor, backward: bool) -> None:
    """Runs a kernel for every tile."""
    batch, time, features = values.shape
    num_tiles, num_columns = -(-time // _TILE_STEPS), -(-features // _TILE_FEATURES)
    kernel[(batch * num_tiles * num_columns,)](
        decay,
        values,
        first,
        second,
        time,
        features,
        num_tiles,
        num_columns,
        *(tensor.stride(axis) for tensor in (decay, values, second) for axis in (0, 1)),
        backward=backward,
        tile_steps=_TILE_STEPS,
        tile_features=_TILE_FEATURES,
    )


if triton is not None:

    @triton.jit
    def _compose(first_decay, first_value, second_decay, second_value):
        return first_decay * second_decay, first_value * second_decay + second_value

    @triton.jit
    def _load_tile(
        decay,
        values,
        time,
        features,
        num_tiles,
        num_columns,
        decay_row,
        decay_step,
        values_row,
        values_step,
        tile_steps: tl.constexpr,
        tile_features: tl.constexpr,
    ):
        """Returns row, tile, steps, features and mask of this program's tile, and its decays and values."""
        program = tl.program_id(0)
        column = program % num_columns
        tile = (program // num_columns) % num_tiles
        row = (program // (num_columns * num_tiles)).to(tl.int64)
        step = (tile * tile_steps + tl.arange(0, tile_steps)).to(tl.int64)
        feature = column * tile_features + tl.arange(0, tile_features)
        mask = (step[:, None] < time) & (feature[None, :] < features)
        a = tl.load(decay + row * decay_row + step[:, None] * decay_step + feature[None, :], mask=mask, other=1.0)
        b = tl.load(values + row * values_row + step[:, None] * values_step + feature[None, :], mask=mask, other=0.0)
        return row, tile, step, feature, mask, a, b

    @triton.jit
    def _summarize_tile(
        decay,
        values,
        product,
        total,
        time,
        features,
        num_tiles,
        num_columns,
        decay_row,
        decay_step,
        values_row,
        values_step,
        total_row,
        total_step,
        backward: tl.constexpr,
        tile_steps: tl.constexpr,
        tile_features: tl.constexpr,
    ):
        """Writes what a tile does to the state before it: `product` times it, plus `total`."""
        row, tile, _, feature, _, a, b = _load_tile(
            decay, values, time, features, num_tiles, num_columns,
            decay_row, decay_step, values_row, values_step, tile_steps, tile_features,
        )  # fmt: skip
        a, b = tl.associative_scan((a, b), 0, _compose, reverse=backward)
        last = tl.arange(0, tile_steps)[:, None] == (0 if backward else tile_steps - 1)
        place = row * total_row + tile * total_step + feature
        tl.store(product + place, tl.sum(tl.where(last, a, 0.0), 0), mask=feature < features)
        tl.store(total + place, tl.sum(tl.where(last, b, 0.0), 0), mask=feature < features)

    @triton.jit
    def _scan_tile(
        decay,
        values,
        before,
        states,
        time,
        features,
        num_tiles,
        num_columns,
        decay_row,
        decay_step,
        values_row,
        values_step,
        states_row,
        states_step,
        backward: tl.constexpr,
        tile_steps: tl.constexpr,
        tile_features: tl.constexpr,
    ):
        """Writes the states of a tile from the state before it."""
        row, tile, step, feature, mask, a, b = _load_tile(
            decay, values, time, features, num_tiles, num_columns,
            decay_row, decay_step, values_row, values_step, tile_steps, tile_features,
        )  # fmt: skip
        a, b = tl.associative_scan((a, b), 0, _compose, reverse=backward)
        state = tl.load(before + (row * num_tiles + tile) * features + feature, mask=feature < features, other=0.0)
        place = row * states_row + step[:, None] * states_step + feature[None, :]
        tl.store(states + place, a * state[None, :] + b, mask=mask)
