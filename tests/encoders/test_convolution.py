"""The convolution over time: its window, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from seqmodels.encoders import create_encoder
from seqmodels.errors import ConfigurationError


@pytest.mark.parametrize("causal", [False, True])
def test_each_step_reads_its_window_and_nothing_else(causal):
    encoder = create_encoder({"name": "convolution", "hidden_size": 7, "kernel_size": 3, "causal": causal}, 2)
    inputs = torch.randn(1, 11, 2, requires_grad=True)
    outputs, _ = encoder(inputs, torch.tensor([11]))
    outputs[0, 5].sum().backward()
    read = inputs.grad[0].abs().sum(1).nonzero().squeeze(1).tolist()
    assert read == ([3, 4, 5] if causal else [4, 5, 6])


def test_an_even_window_must_be_causal():
    with pytest.raises(ConfigurationError, match="kernel_size must be odd unless causal: true, got 4"):
        create_encoder({"name": "convolution", "kernel_size": 4}, 2)


def test_float16_saturates_without_nan():
    torch.manual_seed(0)
    encoder = create_encoder({"name": "convolution", "hidden_size": 7}, 5).half()
    encoder.convolution.weight.detach().mul_(50)
    outputs, _ = encoder((20_000 * torch.randn(3, 11, 5)).half(), torch.tensor([11, 0, 4]))
    assert torch.isfinite(outputs).all()
    assert outputs.max() == torch.finfo(torch.float16).max
