"""What every pooling promises, and what each computes."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from seqmodels.encoders.encoder import Encoder, State
from seqmodels.errors import ConfigurationError
from seqmodels.pooling import AttentionPooling, PoolingName, create_pooling

BATCH, TIME, SIZE = 3, 5, 7
LENGTHS = torch.tensor([5, 0, 2])
NAMES = get_args(PoolingName)


@pytest.fixture
def outputs() -> Tensor:
    torch.manual_seed(19)
    values = torch.randn(BATCH, TIME, SIZE)
    values[1] = 0
    values[2, 2:] = 0
    return values.requires_grad_()


class Lazy(Encoder):
    """An encoder whose summary is its last output, and that counts how often it was asked for it."""

    def __init__(self) -> None:
        super().__init__(SIZE, SIZE, causal=True)
        self.asked = 0

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        return inputs, state

    def summary(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        self.asked += 1
        return super().summary(outputs, lengths)


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_shape_and_gradients(self, name, outputs: Tensor) -> None:
        pooling = create_pooling(name, SIZE)
        pooled = pooling(Lazy(), outputs, LENGTHS)
        assert pooled.shape == (BATCH, SIZE)
        assert not pooled[1].any()
        pooled.square().sum().backward()
        assert outputs.grad.isfinite().all()
        assert not outputs.grad[2, 2:].any()
        assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in pooling.parameters())

    def test_padding_changes_nothing(self, name, outputs: Tensor) -> None:
        pooling = create_pooling(name, SIZE)
        padded = torch.cat([outputs, torch.zeros(BATCH, 3, SIZE)], 1)
        torch.testing.assert_close(pooling(Lazy(), outputs, LENGTHS), pooling(Lazy(), padded, LENGTHS))

    def test_no_steps_at_all(self, name, outputs: Tensor) -> None:
        pooled = create_pooling(name, SIZE)(Lazy(), outputs[:, :0], torch.zeros(BATCH, dtype=torch.long))
        assert torch.equal(pooled, torch.zeros(BATCH, SIZE))

    def test_autocast(self, name, outputs: Tensor) -> None:
        pooling = create_pooling(name, SIZE)
        with torch.autocast("cpu", torch.bfloat16):
            pooled = pooling(Lazy(), outputs, LENGTHS)
        torch.testing.assert_close(pooled.float(), pooling(Lazy(), outputs, LENGTHS), rtol=0.02, atol=0.02)


def test_values(outputs: Tensor) -> None:
    real, encoder = outputs[2, :2], Lazy()
    assert torch.equal(create_pooling("final", SIZE)(Lazy(), outputs, LENGTHS)[2], real[1])
    torch.testing.assert_close(create_pooling("mean", SIZE)(encoder, outputs, LENGTHS)[2], real.mean(0))
    assert torch.equal(create_pooling("max", SIZE)(encoder, outputs, LENGTHS)[2], real.amax(0))
    attention = create_pooling("attention", SIZE)
    assert isinstance(attention, AttentionPooling)
    weights = attention.query(torch.tanh(attention.projection(real))).softmax(0)  # (time, 1)
    torch.testing.assert_close(attention(encoder, outputs, LENGTHS)[2], (weights * real).sum(0))
    assert encoder.asked == 0


def test_attention_weights(outputs: Tensor) -> None:
    attention = AttentionPooling(SIZE)
    weights = attention.weights(outputs, LENGTHS)
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 0.0, 1.0]))
    assert not weights[2, 2:].any()


def test_unknown_name() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown pooling 'atention'.*did you mean 'attention'"):
        create_pooling("atention", SIZE)  # type: ignore[arg-type]
