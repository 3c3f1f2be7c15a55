"""Activation regularisation: equal to the authors' formulas, and blind to padding."""

from __future__ import annotations

import pytest
import torch

from seqmodels.activation_regularization import activation_penalty, temporal_activation_penalty

PENALTIES = [activation_penalty, temporal_activation_penalty]
LENGTHS = torch.tensor([5, 2, 0])  # batch 3, time 5


def make_outputs():
    return torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))


def test_of_full_rows_they_are_the_authors_formulas():
    outputs, full = make_outputs(), torch.full((3,), 5)
    torch.testing.assert_close(activation_penalty(outputs, full), outputs.pow(2).mean())
    change = (outputs[:, 1:] - outputs[:, :-1]).pow(2).mean()
    torch.testing.assert_close(temporal_activation_penalty(outputs, full), change)


def test_of_ragged_rows_they_are_means_over_real_steps():
    outputs = make_outputs()
    real = torch.cat([outputs[0], outputs[1, :2]])
    torch.testing.assert_close(activation_penalty(outputs, LENGTHS), real.pow(2).mean())
    pairs = torch.cat([outputs[0, 1:] - outputs[0, :-1], outputs[1, 1:2] - outputs[1, :1]])
    torch.testing.assert_close(temporal_activation_penalty(outputs, LENGTHS), pairs.pow(2).mean())


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
def test_padding_changes_neither_value_nor_gradient(penalty, garbage):
    outputs = make_outputs()
    padded = outputs.clone()
    for row, length in enumerate(LENGTHS.tolist()):
        padded[row, length:] = garbage
    outputs.requires_grad_()
    padded.requires_grad_()
    assert torch.equal(penalty(padded, LENGTHS), penalty(outputs, LENGTHS))
    penalty(padded, LENGTHS).backward()
    penalty(outputs, LENGTHS).backward()
    assert torch.equal(padded.grad, outputs.grad)
    assert torch.all(padded.grad[1, 2:] == 0)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_no_step_is_no_penalty(penalty):
    for time in (0, 1, 5):
        outputs = torch.randn(3, time, 7, requires_grad=True)
        value = penalty(outputs, torch.zeros(3, dtype=torch.int64))
        assert value == 0
        value.backward()
        assert torch.all(outputs.grad == 0)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_half_precision_is_summed_in_float32(penalty):
    outputs = torch.full((3, 5, 7), 300.0, dtype=torch.float16)  # its square is above what float16 holds
    assert torch.isfinite(penalty(outputs, torch.full((3,), 5)))
