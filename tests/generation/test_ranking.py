"""The largest values of long rows and the normalisers of logits, against sorting and torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from seqmodels.generation.normalizing import exponentials, log_normalizer, log_probs_of
from seqmodels.generation.ranking import top

INF = float("inf")


@pytest.mark.parametrize("size", [1, 15, 16, 17, 479, 480, 1031, 8009])
@pytest.mark.parametrize("count", [1, 6, 11])
@pytest.mark.parametrize("ties", [False, True])
def test_top_is_a_stable_sort_of_long_rows(size: int, count: int, ties: bool) -> None:
    values = torch.randn(7, size, generator=torch.Generator().manual_seed(size + count))
    if ties:
        values = values.round()
    values[3] = -INF
    values[4, : size // 2] = -INF
    found, indices = top(values, count)
    expected, order = values.sort(dim=1, descending=True, stable=True)
    count = min(count, size)
    assert torch.equal(found, expected[:, :count])
    possible = found > -INF
    assert torch.equal(indices[possible], order[:, :count][possible])


def test_what_is_not_a_number_is_found() -> None:
    values = torch.randn(3, 1031)
    values[1, 500] = float("nan")
    assert top(values, 5)[0][1].isnan().any()


@pytest.mark.parametrize("size", [1, 5, 1031, 70_003])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_normalizer_is_that_of_the_log_softmax(size: int, dtype: torch.dtype) -> None:
    logits = 5 * torch.randn(11, size, dtype=dtype) + torch.linspace(-300, 300, 11, dtype=dtype).unsqueeze(1)
    logits[2, : size // 2] = -INF
    expected = logits.logsumexp(1)
    weights, normalizer = exponentials(logits)
    assert_close(log_normalizer(logits), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(normalizer, log_normalizer(logits))
    assert_close(weights / weights.sum(1, keepdim=True), logits.softmax(1), rtol=1e-4, atol=1e-7)
    ids = torch.randint(size, (11, 3))
    assert_close(log_probs_of(logits, ids), logits.log_softmax(1).gather(1, ids), rtol=1e-5, atol=1e-4)


def test_a_row_that_is_no_distribution_has_no_normalizer() -> None:
    logits = torch.randn(5, 7)
    logits[0], logits[1, 2], logits[2, 3] = -INF, INF, float("nan")
    assert log_normalizer(logits).isfinite().tolist() == [False, False, False, True, True]


def test_gradients_flow_where_they_are_wanted() -> None:
    logits = torch.randn(3, 7, requires_grad=True)
    log_normalizer(logits).sum().backward()
    assert_close(logits.grad, logits.detach().softmax(1))
