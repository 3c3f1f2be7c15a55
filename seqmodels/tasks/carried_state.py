"""The encoder's state, carried from one window of contiguous streams to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from seqmodels.encoders import State, detach_state, map_state, where_rows


class CarriedState:
    """Remembers the state after the last window, and for a checkpoint in between also the one before it."""

    def __init__(self) -> None:
        self._after: tuple[int, State] | None = None  # the number of windows read, and the state after them
        self._before: tuple[int, State] | None = None

    def take(self, resets: Tensor, initial: Callable[[], State]) -> State | None:
        """Returns the state to go on from, anew in the rows of `resets` (batch,); None for the initial state."""
        if self._after is None:
            return None
        state = self._after[1]
        if resets.device.type == "cpu" and not bool(resets.any()):  # looking is free there
            return state
        return where_rows(~resets, state, initial())

    def keep(self, state: State, windows: int) -> None:
        """Remembers the state after so many windows of the epoch, cut off from the gradients."""
        self._before, self._after = self._after, (windows, detach_state(state))

    def forget(self) -> None:
        """Begins anew."""
        self._after = self._before = None

    def tensors(self, windows: int) -> list[Tensor] | None:
        """Returns the tensors of the state after so many windows of the epoch, for a checkpoint; None if there is none.

        A step that is broken off has read its window but not been counted: its state is not the one wanted.
        """
        for kept in (self._after, self._before):
            if kept is not None and kept[0] == windows:
                return [tensor.cpu() for tensor in _flat(kept[1])]
        return None

    def restore(self, tensors: list[Tensor], windows: int, template: State) -> bool:
        """Takes over the `tensors` of a checkpoint in the structure of `template`; tells whether they fit it."""
        expected = _flat(template)
        if [tensor.shape for tensor in tensors] != [tensor.shape for tensor in expected]:
            return False
        given = iter(tensors)
        self._after = windows, map_state(lambda tensor: next(given).to(tensor.device), template)
        self._before = None
        return True


def _flat(state: State) -> list[Tensor]:
    found: list[Any] = []

    def add(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_state(add, state)
    return found
