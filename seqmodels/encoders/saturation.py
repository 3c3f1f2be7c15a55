"""What float16, whose largest number is 65,504, makes of larger ones."""

from __future__ import annotations

import torch
from torch import Tensor


def saturate(values: Tensor) -> Tensor:
    """Returns the values with infinities of float16 replaced by its largest number: infinities cancel to NaN later."""
    if values.dtype is not torch.float16:
        return values
    largest = torch.finfo(torch.float16).max
    return values.clamp(-largest, largest)
