"""Gradients that are written by hand and have no gradient of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch

Gradients = TypeVar("Gradients")


def first_derivative_only(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """Makes the `backward` of an autograd function refuse to be part of a second derivative.

    torch's `once_differentiable` refuses only where the gradients that come in depend on something themselves: of a
    loss that is linear in the outputs, such as their sum, it lets a second derivative pass that lacks a part.

    Raises:
        NotImplementedError: (of the result) the gradient is computed with `create_graph=True`.
    """

    @wraps(backward)
    def refusing(ctx: Any, *gradients: Any) -> Gradients:
        # The grad mode of a backward pass is its `create_graph`; a compiler that traces one has a mode of its own.
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise NotImplementedError(
                "there is no second derivative here, as its gradient is written by hand: compute the gradient without "
                "create_graph=True, or choose an encoder that is plain torch, such as gru_cell"
            )
        with torch.no_grad():
            return backward(ctx, *gradients)

    return refusing
