"""A gradient that is written by hand refuses to be differentiated; torch's own decorator let a loss's sum pass."""

from __future__ import annotations

import pytest
import torch

from seqmodels.encoders import create_encoder

BY_HAND = ("mingru", "minlstm", "qrnn", "sru", "rglru", "s6", "slstm")


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("linear", [True, False])
def test_a_second_derivative_is_refused(name, linear):
    encoder = create_encoder(name, 5, hidden_size=8)
    inputs = torch.randn(3, 4, 5, requires_grad=True)
    outputs, _ = encoder(inputs, torch.tensor([4, 2, 0]))
    loss = outputs.sum() if linear else outputs.square().sum()
    with pytest.raises(NotImplementedError, match=r"no second derivative.*without create_graph=True"):
        torch.autograd.grad(loss, inputs, create_graph=True)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_graph_may_be_kept_and_walked_again(name):
    encoder = create_encoder(name, 5, hidden_size=8)
    inputs = torch.randn(3, 4, 5, requires_grad=True)
    outputs, _ = encoder(inputs, torch.tensor([4, 2, 0]))
    (first,) = torch.autograd.grad(outputs.sum(), inputs, retain_graph=True)
    (second,) = torch.autograd.grad(outputs.sum(), inputs)
    assert torch.equal(first, second)
    assert not first.requires_grad


def test_plain_torch_has_one():
    encoder = create_encoder("gru_cell", 5, hidden_size=7).double()
    inputs = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda values: encoder(values, torch.tensor([3, 2]))[0], (inputs,))
