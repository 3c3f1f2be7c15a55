"""The weighted mean of losses."""

from __future__ import annotations

import pytest
import torch

from seqmodels.metrics import Average


def test_weighs_by_the_counts() -> None:
    average = Average()
    average.update(torch.tensor(float("nan")), 0)
    assert average.compute().item() == 0
    average.update(torch.tensor(2.0), 3)
    average.update(torch.tensor(5.0, requires_grad=True), torch.tensor(1))
    assert average.compute().item() == pytest.approx(11 / 4)


def test_parts_add_up_to_the_whole() -> None:
    whole, first, second = Average(), Average(), Average()
    for step, value in enumerate(torch.rand(13)):
        whole.update(value, step)
        (first if step < 5 else second).update(value, step)
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(whole.compute().item(), rel=1e-6)


def test_loses_no_digits_over_many_batches() -> None:
    average = Average()
    average.update(torch.tensor(1.0), 2**24)
    for _ in range(1000):
        average.update(torch.tensor(0.5), 1)  # each alone is lost beside 2 ** 24 in float32
    assert average.compute().item() == pytest.approx((2**24 + 500) / (2**24 + 1000), rel=1e-7)
