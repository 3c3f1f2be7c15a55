"""The precision of matrix products: of float32 a setting with a probe of what it costs, and what autocast wants."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Precision = Literal["highest", "high", "medium"]


def probe_matmul_error(size: int = 512) -> float:
    """Returns the largest error of a float32 product of two (size, size) standard normal matrices against float64."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator, dtype=torch.float64) for _ in range(2))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    product = left.float().to(device) @ right.float().to(device)
    return float((product.cpu().double() - left @ right).abs().max())


def set_matmul_precision(precision: Precision) -> str:
    """Sets how exactly float32 matrices are multiplied, and returns a line on what that does to the result here.

    `medium` lets torch take another library, which is 1.4 to 2.4 times as fast on some CPUs at the same accuracy; on
    CPUs with matrix units, and on GPUs, it may round to bfloat16. The probe shows which: about 1e-4 is full float32,
    0.1 or more is rounding.
    """
    torch.set_float32_matmul_precision("highest")
    exact = probe_matmul_error()
    torch.set_float32_matmul_precision(precision)
    error = probe_matmul_error()
    verdict = "as exact as before" if error < 10 * exact else "ROUNDED: expect results to differ in the third digit"
    return f"float32 matmul precision '{precision}': largest error {error:.1e} (highest: {exact:.1e}): {verdict}"


def product_type(inputs: Tensor) -> torch.dtype:
    """Returns the type in which autocast, or else nobody but the inputs, wants matrix products."""
    device_type = inputs.device.type
    if inputs.dtype != torch.float64 and torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return inputs.dtype
