"""What a check finds out: the largest difference, and the first one that is too large."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.encoders import State, map_state

CLOSE = 2e-5  # float32: rounding of a few steps in another order
NOT_FINITE = (
    "results of ordinary inputs are NaN or infinite: look at how parameters begin (torch.empty holds anything), at "
    "divisions by 0, and at logarithms and roots of it"
)
CLOSE_GRADIENTS = 1e-4  # float32: sums over all steps of all rows


class BrokenPromiseError(Exception):
    """A check found that a promise is broken; its message says what to mend.

    Args:
        mend: what was found, and what to mend.
        difference: how far apart two results are, each number of them relative to 1 + its size; None if none are told
            apart by a number.
        bound: how far they might have been.
    """

    def __init__(self, mend: str, difference: float | None = None, bound: float | None = None) -> None:
        super().__init__(mend)
        self.mend = mend
        self.difference = difference
        self.bound = bound


class NotApplicableError(Exception):
    """A promise is not asked of this encoder; the message says why."""


class Evidence:
    """Compares results, keeps the difference that came nearest to its bound, and stops at the first one beyond."""

    def __init__(self) -> None:
        self.difference: float | None = None
        self.bound: float | None = None

    def close(self, found: Tensor, expected: Tensor, mend: str, *, bound: float = CLOSE) -> None:
        """Expects the same shape, and |found - expected| <= bound * (1 + |expected|) for each number.

        Raises:
            BrokenPromiseError: it is not so, which NaN never is; or what is expected, the result of an ordinary batch,
                is not finite itself.
        """
        self.finite(expected, NOT_FINITE)
        if found.shape != expected.shape:
            raise BrokenPromiseError(f"{mend} (expected the shape {tuple(expected.shape)}, got {tuple(found.shape)})")
        self.within(relative_difference(found, expected), mend, bound=bound)

    def states_close(self, found: State, expected: State, mend: str, *, bound: float = CLOSE) -> None:
        """Expects two states of the same structure, `close` in each tensor.

        Raises:
            BrokenPromiseError: it is not so.
        """
        pairs: list[tuple[Tensor, Tensor]] = []
        try:
            map_state(lambda first, second: pairs.append((first, second)) or first, found, expected)  # type: ignore[func-returns-value]
        except (ValueError, TypeError, KeyError) as error:
            raise BrokenPromiseError(f"{mend} ({error})") from error
        for first, second in pairs:
            self.close(first, second, mend, bound=bound)

    def within(self, difference: float, mend: str, *, bound: float) -> None:
        """Expects a difference of at most `bound`.

        Raises:
            BrokenPromiseError: it is larger.
        """
        if not difference <= bound:
            raise BrokenPromiseError(mend, difference, bound)
        if self.bound is None or self.difference is None or _nearness(difference, bound) > self._nearest():
            self.difference, self.bound = difference, bound

    def zero(self, values: Tensor, mend: str) -> None:
        """Expects nothing but zeros.

        Raises:
            BrokenPromiseError: there is something else.
        """
        self.within(relative_difference(values, torch.zeros_like(values)), mend, bound=0.0)

    def finite(self, values: Tensor, mend: str) -> None:
        """Expects neither NaN nor infinity.

        Raises:
            BrokenPromiseError: there is one.
        """
        self.true(bool(torch.isfinite(values).all()), mend)

    def true(self, condition: bool, mend: str) -> None:
        """Expects a condition to hold.

        Raises:
            BrokenPromiseError: it does not.
        """
        if not condition:
            raise BrokenPromiseError(mend)

    def _nearest(self) -> float:
        return -1.0 if self.difference is None or self.bound is None else _nearness(self.difference, self.bound)


def _nearness(difference: float, bound: float) -> float:
    return difference / bound if bound else 0.0


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Returns the largest |found - expected| / (1 + |expected|), infinity where one is not finite, 0 of nothing."""
    if found.numel() == 0:
        return 0.0
    found, expected = found.detach().double(), expected.detach().double()
    difference = (found - expected).abs() / (1 + expected.abs())
    return float(difference.nan_to_num(nan=float("inf")).max())
