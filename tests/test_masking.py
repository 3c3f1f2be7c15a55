"""Lengths, masks and reductions of right-padded batches."""

from __future__ import annotations

import pytest
import torch

from seqmodels.masking import (
    gather_rows,
    last_step,
    lengths_to_mask,
    masked_max,
    masked_mean,
    reverse_within,
    zero_beyond,
)

LENGTHS = torch.tensor([5, 2, 0])
ROWS = [[1.0, 2.0, 3.0, 4.0, 5.0], [-6.0, -7.0, 9.0, 9.0, 9.0], [9.0, 9.0, 9.0, 9.0, 9.0]]


def make_values() -> torch.Tensor:
    """Returns values (batch 3, time 5, size 2), the second feature ten times the first."""
    return torch.tensor(ROWS).unsqueeze(2) * torch.tensor([1.0, 10.0])


def test_mask_is_true_on_real_steps():
    assert lengths_to_mask(LENGTHS, 5).int().tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert lengths_to_mask(LENGTHS, 0).shape == (3, 0)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 2), (3, 5, 2, 7)])
def test_padding_becomes_zero_whatever_it_was(shape):
    values = torch.ones(shape)
    values[1, 2:] = float("nan")
    cleared = zero_beyond(values, LENGTHS)
    assert torch.all(cleared[0] == 1)
    assert torch.all(cleared[1, :2] == 1)
    assert torch.all(cleared[1, 2:] == 0)
    assert torch.all(cleared[2] == 0)


def test_last_step_is_the_last_real_one():
    assert last_step(make_values(), LENGTHS).tolist() == [[5, 50], [-7, -70], [0, 0]]


def test_reversal_leaves_the_padding_where_it_is():
    reversed_values = reverse_within(make_values(), LENGTHS)
    assert reversed_values[:, :, 0].tolist() == [[5, 4, 3, 2, 1], [-7, -6, 9, 9, 9], [9] * 5]
    assert torch.equal(reverse_within(reversed_values, LENGTHS), make_values())


def test_gradient_of_the_reversal_is_the_reversal():
    values = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda tensor: reverse_within(tensor, LENGTHS), values)
    assert torch.autograd.gradgradcheck(lambda tensor: reverse_within(tensor, LENGTHS).sin(), values)


def test_rows_are_gathered_with_zeros_where_none_is_named():
    rows = torch.arange(1.0, 5.0, dtype=torch.float64).view(4, 1).requires_grad_()
    index, inverse = torch.tensor([3, -1, 0]), torch.tensor([2, -1, -1, 0])
    assert gather_rows(rows, index, inverse).flatten().tolist() == [4, 0, 1]
    assert torch.autograd.gradcheck(lambda tensor: gather_rows(tensor, index, inverse), rows)
    assert torch.autograd.gradgradcheck(lambda tensor: gather_rows(tensor, index, inverse).sin(), rows)


def test_means_and_maxima_are_over_real_steps():
    assert masked_mean(make_values(), LENGTHS).tolist() == [[3, 30], [-6.5, -65], [0, 0]]
    assert masked_max(make_values(), LENGTHS).tolist() == [[5, 50], [-6, -60], [0, 0]]


@pytest.mark.parametrize("reduce", [last_step, masked_mean, masked_max])
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
def test_reductions_ignore_the_padding_also_in_the_gradient(reduce, garbage):
    clean = make_values().requires_grad_()
    dirty = make_values()
    dirty[1, 2:] = dirty[2] = garbage
    dirty.requires_grad_()
    assert torch.equal(reduce(dirty, LENGTHS), reduce(clean, LENGTHS))
    reduce(clean, LENGTHS).sin().sum().backward()
    reduce(dirty, LENGTHS).sin().sum().backward()
    torch.testing.assert_close(dirty.grad, clean.grad)
    assert torch.all(dirty.grad[2] == 0)


@pytest.mark.parametrize("function", [last_step, masked_mean, masked_max, zero_beyond, reverse_within])
@pytest.mark.parametrize("shape", [(3, 0, 2), (0, 5, 2)])
def test_batches_without_rows_or_steps_are_defined(function, shape):
    lengths = torch.zeros(shape[0], dtype=torch.int64)
    result = function(torch.zeros(shape), lengths)
    assert result.size(0) == shape[0]
    assert result.size(-1) == 2
    assert torch.all(result == 0)
