"""The activation of minGRU and minLSTM that is positive everywhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqmodels.first_derivative import first_derivative_only


def positive(values: Tensor) -> Tensor:
    """Returns g(x) = x + 1/2 where x >= 0 and sigmoid(x) elsewhere.

    Reference:
        Feng et al., Were RNNs all we needed?, 2024, appendix B. The slope at 0 is 1 on the right, 1/4 on the left.
    """
    return _Positive.apply(values)  # type: ignore[no-any-return]


class _Positive(torch.autograd.Function):
    """Keeps nothing but the result, from which the slope follows: 1 from 1/2 on, g * (1 - g) below."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        result = torch.sigmoid(values).clamp_(max=0.5).add_(values.clamp(min=0))
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, by_result: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        slope = torch.addcmul(result, result, result, value=-1).masked_fill_(result >= 0.5, 1)
        return slope.mul_(by_result)
