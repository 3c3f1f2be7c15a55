"""Functions over a state: nested tuples, lists and dicts of tensors whose first axis is batch.

Carrying a state from chunk to chunk, streaming and the reordering of beams all go through these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

State = Any  # nested tuples, lists or dicts of tensors, each with batch as its first axis


def map_state(function: Callable[..., Tensor], state: State, *others: State) -> State:
    """Applies `function` to every tensor of a state, or to the tensors that lie at the same place in several states.

    Raises:
        TypeError: something other than a tensor, tuple, list, dict or None lies in it.
        ValueError: the states differ in structure.
    """
    if state is None:
        return None
    if isinstance(state, Tensor):
        return function(state, *others)
    if isinstance(state, Mapping):
        if any(set(other) != set(state) for other in others):
            raise ValueError(f"states differ in structure: expected the keys {sorted(state)} in each")
        return {key: map_state(function, value, *(other[key] for other in others)) for key, value in state.items()}
    if isinstance(state, tuple | list):
        if any(len(other) != len(state) for other in others):
            raise ValueError(f"states differ in structure: expected {len(state)} parts in each")
        parts = [map_state(function, *values) for values in zip(state, *others, strict=True)]
        if isinstance(state, tuple) and hasattr(state, "_fields"):  # a named tuple takes its parts one by one
            return type(state)(*parts)
        return type(state)(parts)
    raise TypeError(f"a state holds tensors in tuples, lists and dicts; found {type(state).__name__}")


def tensors_of(state: State) -> list[Tensor]:
    """Returns the tensors that lie in a state.

    Raises:
        TypeError: something other than a tensor, tuple, list, dict or None lies in it.
    """
    found: list[Tensor] = []
    map_state(lambda tensor: found.append(tensor) or tensor, state)  # type: ignore[func-returns-value]
    return found


def select_rows(state: State, indices: Tensor) -> State:
    """Returns the rows of a state that `indices` (rows,) int64 name, in that order; a row may come more than once."""
    return map_state(lambda values: values.index_select(0, indices), state)


def detach_state(state: State) -> State:
    """Returns a state of the same values through which no gradient flows, as truncated back-propagation needs."""
    return map_state(Tensor.detach, state)


def where_rows(mask: Tensor, new: State, old: State) -> State:
    """Returns the rows of `new` where `mask` (batch,) is True, and the rows of `old` elsewhere."""

    def choose(chosen: Tensor, other: Tensor) -> Tensor:
        return torch.where(mask.view(-1, *[1] * (chosen.dim() - 1)), chosen, other.to(chosen.dtype))

    return map_state(choose, new, old)
