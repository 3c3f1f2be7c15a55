"""Heads: groups of features, each with a memory of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.errors import ConfigurationError


def check_heads(owner: object, hidden_size: int, num_heads: int) -> None:
    """Checks that the heads divide the features.

    Raises:
        ConfigurationError: they do not.
    """
    if hidden_size % num_heads:
        raise ConfigurationError(
            f"{type(owner).__name__}: hidden_size must be a multiple of num_heads, got {hidden_size} and {num_heads}"
        )


def forget_biases(count: int) -> Tensor:
    """Returns biases (count,) of forget gates from 3 to 6: memories from 20 to 400 steps long."""
    return torch.linspace(3.0, 6.0, count)
