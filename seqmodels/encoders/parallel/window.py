"""The last few inputs, carried from chunk to chunk."""

from __future__ import annotations

import torch
from torch import Tensor


def slide_window(inputs: Tensor, lengths: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the inputs with those before them, and those that the next chunk has to see.

    Args:
        inputs: (batch, time, input_size).
        lengths: (batch,) int64.
        seen: (batch, reach, input_size), the inputs before the first one.

    Returns:
        (batch, reach + time, input_size), and each row's last `reach` real inputs (batch, reach, input_size).
    """
    window = torch.cat([seen.to(inputs.dtype), inputs], dim=1)
    last = lengths.unsqueeze(1) + torch.arange(seen.size(1), device=inputs.device)  # (batch, reach)
    return window, window.gather(1, last.unsqueeze(2).expand(-1, -1, inputs.size(2))).to(seen.dtype)
