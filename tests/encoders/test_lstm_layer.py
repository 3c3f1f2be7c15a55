"""The layer of large LSTMs in bfloat16: what torch's kernel computes, without what it reads by mistake."""

from __future__ import annotations

import pytest
import torch

from seqmodels.encoders import create_encoder, lstm_layer
from seqmodels.encoders.lstm_layer import prefers_own_layer

LENGTHS = torch.tensor([9, 4, 9, 1, 0])  # batch 5, time 9


def parts_of(dtype=torch.float32, size=11):
    """Returns inputs (batch, time, size), h, c and the weights of a layer; each a leaf."""
    torch.manual_seed(0)
    network = torch.nn.LSTM(6, size, batch_first=True, dtype=dtype)
    shapes = [(5, 9, 6), (5, size), (5, size)]
    leaves = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]
    return [*leaves, *(weight.detach().requires_grad_() for weight in network.all_weights[0])]


def gradients_of(results, leaves):
    weights = [torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result) for result in results]
    total = sum((weight * result).sum() for weight, result in zip(weights, results, strict=True))
    return torch.autograd.grad(total, leaves)


def test_computes_what_torch_does():
    leaves = inputs, h, c, *weights = parts_of()
    planes = (h.unsqueeze(0), c.unsqueeze(0))
    outputs, last_h, last_c = torch.lstm(inputs, planes, weights, True, 1, 0.0, True, False, True)
    expected = outputs, last_h.squeeze(0), last_c.squeeze(0)
    results = lstm_layer.lstm_layer(inputs, h, c, weights)
    torch.testing.assert_close(results, expected)
    torch.testing.assert_close(gradients_of(results, leaves), gradients_of(expected, leaves))


def test_gradients_are_of_the_types_of_what_they_are_by():
    inputs, h, c, *weights = parts_of(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        results = lstm_layer.lstm_layer(inputs.bfloat16(), h, c, weights)
    assert [result.dtype for result in results] == [torch.bfloat16, torch.bfloat16, torch.float32]
    exact = lstm_layer.lstm_layer(inputs, h, c, weights)
    leaves = [inputs, h, c, *weights]
    for found, wanted in zip(gradients_of(results, leaves), gradients_of(exact, leaves), strict=True):
        assert found.dtype == torch.float32
        assert (found - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize("lengths", [LENGTHS, torch.full((5,), 9)], ids=["ragged", "full"])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2}, {"bidirectional": True}, {"recurrent_weight_dropout": 0.4}],
    ids=str,
)
def test_a_large_encoder_computes_what_a_small_one_does(monkeypatch, lengths, options):
    torch.manual_seed(0)
    encoder = create_encoder("lstm", 6, hidden_size=11, **options)
    inputs = torch.randn(5, 9, 6)
    found = {}
    for name, least in (("torch", 1024), ("own", 1)):
        monkeypatch.setattr(lstm_layer, "LARGE", least)
        torch.manual_seed(1)  # of the dropped weights
        with torch.autocast("cpu", torch.bfloat16):
            outputs, state = encoder(inputs, lengths)
        gradients = torch.autograd.grad(outputs.float().square().sum(), encoder.parameters())
        found[name] = [outputs, *state, *gradients]
    for one, other in zip(found["own"], found["torch"], strict=True):
        torch.testing.assert_close(one.float(), other.float(), atol=0.05, rtol=0.05)


def test_steps_with_a_gradient_equal_a_sequence(monkeypatch):
    monkeypatch.setattr(lstm_layer, "LARGE", 1)
    torch.manual_seed(0)
    encoder = create_encoder("lstm", 6, hidden_size=11, num_layers=2)
    inputs = torch.randn(5, 9, 6)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, final = encoder(inputs, torch.full((5,), 9))
        state = encoder.initial_state(5)
        for place in range(9):
            output, state = encoder.step(inputs[:, place], state)
            torch.testing.assert_close(output, outputs[:, place], atol=0.01, rtol=0.02)
    torch.testing.assert_close(state, final, atol=0.01, rtol=0.02)


def test_is_for_large_layers_trained_in_bfloat16():
    inputs = torch.zeros(1, 1, 8)
    assert not prefers_own_layer(inputs, 2048)
    assert prefers_own_layer(inputs.bfloat16(), 2048)
    with torch.autocast("cpu", torch.bfloat16):
        assert prefers_own_layer(inputs, 1024)
        assert not prefers_own_layer(inputs, 1023)
        with torch.no_grad():
            assert not prefers_own_layer(inputs, 1024)


def test_memory_that_nobody_wrote_is_not_read():
    """Torch's kernel fails here on CPUs with matrix units: 1,150 features, of a ragged batch."""
    torch.manual_seed(0)
    encoder = create_encoder("lstm", 1150, hidden_size=1150)
    inputs = torch.randn(20, 3, 1150, requires_grad=True)
    leave_nan()
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = encoder(inputs, torch.tensor([3] * 19 + [2]))
    leave_nan()
    gradients = torch.autograd.grad(outputs.float().sum(), [inputs, *encoder.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)


def leave_nan():
    """Lets the memory that is given out next hold NaN."""
    sizes = (1_000, 10_000, 100_000, 1_000_000, 5_000_000) * 3
    blocks = [torch.full((size,), torch.nan, dtype=kind) for size in sizes for kind in (torch.float32, torch.bfloat16)]
    blocks.clear()


def test_there_is_no_second_derivative():
    inputs, h, c, *weights = parts_of()
    outputs, _, _ = lstm_layer.lstm_layer(inputs, h, c, weights)
    with pytest.raises(NotImplementedError, match="there is no second derivative here"):
        torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
