"""LSTM, GRU and RNN against torch's own, on packed input, forward and backward."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqmodels.encoders import GRU, LSTM, RNN, create_encoder
from seqmodels.encoders.row_groups import split_by_length
from seqmodels.masking import lengths_to_mask, zero_beyond

ORACLES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
RAGGED = torch.tensor([11, 3, 1, 8, 5])
FULL = torch.full((5,), 11)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def parts_of(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def run_oracle(oracle: nn.RNNBase, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Returns outputs (batch, time, size) and the state, batch first, of torch's module on packed input."""
    packed, state = oracle(pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False))
    outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=inputs.size(1))
    return outputs, tuple(part.transpose(0, 1) for part in parts_of(state))


def loss_of(outputs: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    return outputs.sin().mean() + sum((part + 0.3).cos().mean() for part in state)


@pytest.mark.parametrize("path", ["padded", "packed"])
@pytest.mark.parametrize("lengths", [RAGGED, FULL], ids=["ragged", "full"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_equals_torch_on_packed_input(name, num_layers, bidirectional, lengths, path, monkeypatch):
    options = {"hidden_size": 7, "num_layers": num_layers, "bidirectional": bidirectional}
    torch.manual_seed(0)
    encoder = create_encoder(name, 5, **options)
    if path == "packed":  # what CUDA does, on the CPU
        monkeypatch.setattr(encoder, "_run_padded", encoder._run_packed)
    oracle = ORACLES[name](5, **options, batch_first=True)
    encoder.network.load_state_dict(oracle.state_dict())
    ours = torch.randn(5, 11, 5).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    outputs, state = encoder(ours, lengths)
    wanted, wanted_state = run_oracle(oracle, theirs, lengths)
    torch.testing.assert_close(outputs, wanted, **CLOSE)
    torch.testing.assert_close(parts_of(state), wanted_state, **CLOSE)
    loss_of(outputs, parts_of(state)).backward()
    loss_of(wanted, wanted_state).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, **CLOSE)
    for (label, parameter), reference in zip(encoder.network.named_parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, reference.grad, **CLOSE, msg=label)


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_groups_of_like_length_equal_one_run(name):
    torch.manual_seed(0)
    encoder = create_encoder(name, 5, hidden_size=7, num_layers=2, bidirectional=True)
    inputs = torch.randn(131, 61, 5)
    lengths = torch.randint(0, 62, (131,))
    assert len(split_by_length(lengths, 61)) == 4
    initial = tuple(torch.randn(4, 131, 7) for _ in range(encoder.num_parts))
    results = []
    for run in (encoder._run_padded, partial(encoder._run_layers, ragged=True)):
        ours = inputs.clone().requires_grad_()
        encoder.zero_grad()
        outputs, planes = run(ours, lengths, initial)
        outputs = zero_beyond(outputs, lengths)
        planes = [plane * (lengths > 0).view(1, 131, 1) for plane in planes]
        loss_of(outputs, tuple(planes)).backward()
        results.append([outputs, *planes, ours.grad, *[parameter.grad.clone() for parameter in encoder.parameters()]])
    torch.testing.assert_close(results[0], results[1], **CLOSE)


@pytest.mark.parametrize("garbage", [float("nan"), float("inf")])
def test_padding_does_not_matter_in_groups(garbage):
    encoder = LSTM(5, hidden_size=7, num_layers=2, bidirectional=True)
    lengths = torch.tensor([61, 5, 0, 3] * 17)
    inputs = torch.randn(68, 61, 5)
    outputs, state = encoder(inputs, lengths)
    padding = ~lengths_to_mask(lengths, 61).unsqueeze(2)
    dirty = inputs.masked_fill(padding, garbage).requires_grad_()
    again, state_again = encoder(dirty, lengths)
    assert torch.equal(again, outputs)
    assert torch.equal(state_again[1], state[1])
    assert torch.all(outputs.masked_select(padding) == 0)
    again.sin().sum().backward()
    assert torch.isfinite(dirty.grad).all()
    assert torch.all(dirty.grad.masked_select(padding) == 0)


def test_rows_are_grouped_where_that_saves_a_tenth():
    for lengths in ([61] * 67, [61, 60, 59] * 10, [61], [61, 3]):
        assert [steps for _, steps in split_by_length(torch.tensor(lengths), 61)] == [61]
    groups = split_by_length(torch.tensor([5, 61] * 16 + [0]), 61)
    assert sorted(torch.cat([rows for rows, _ in groups]).tolist()) == list(range(33))
    assert [steps for _, steps in groups] == [61, 8] or [steps for _, steps in groups] == [61, 61, 8, 8]


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rnn_equals_torch_with_either_nonlinearity(nonlinearity):
    encoder = RNN(5, hidden_size=7, nonlinearity=nonlinearity)
    inputs = torch.randn(5, 11, 5)
    wanted, _ = run_oracle(encoder.network, inputs, RAGGED)
    torch.testing.assert_close(encoder(inputs, RAGGED)[0], wanted, **CLOSE)


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_both_paths_agree_on_rows_of_length_zero_and_a_given_state(name):
    encoder = create_encoder(name, 5, hidden_size=7, num_layers=2)
    lengths = torch.tensor([0, 4, 11, 0, 1])
    inputs = torch.randn(5, 11, 5)
    _, state = encoder(torch.randn(5, 3, 5), torch.tensor([3, 2, 1, 3, 0]))
    padded, padded_state = encoder(inputs, lengths, state)
    encoder._run_padded = encoder._run_packed
    packed, packed_state = encoder(inputs, lengths, state)
    torch.testing.assert_close(packed, padded, **CLOSE)
    torch.testing.assert_close(packed_state, padded_state, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_cell_of_the_lstm_passes_padding_unchanged(dtype):
    encoder = LSTM(5, hidden_size=7).to(dtype)
    for parameter in encoder.parameters():
        parameter.detach().mul_(20)  # gates far from their middle do not outweigh the padding
    inputs = torch.randn(1, 3, 5, dtype=dtype)
    _, (_, exact) = encoder(inputs, torch.tensor([3]))
    _, (_, held) = encoder(torch.cat([inputs, torch.randn(1, 64, 5, dtype=dtype)], dim=1), torch.tensor([3]))
    torch.testing.assert_close(held, exact, atol=1e-6, rtol=1e-6 if dtype != torch.bfloat16 else 0.02)


def test_bidirectional_summary_is_where_each_direction_ends():
    encoder = LSTM(5, hidden_size=7, bidirectional=True)
    outputs, (h, c) = encoder(torch.randn(5, 11, 5), RAGGED)
    assert h.shape == c.shape == (5, 2, 7)
    torch.testing.assert_close(encoder.summary(outputs, RAGGED), h.flatten(1))


def test_dropout_acts_between_layers_in_training_only():
    torch.manual_seed(0)
    encoder = GRU(5, hidden_size=7, num_layers=2, dropout=0.5)
    inputs = torch.randn(5, 11, 5)
    assert not torch.equal(encoder(inputs, RAGGED)[0], encoder(inputs, RAGGED)[0])
    encoder.eval()
    assert torch.equal(encoder(inputs, RAGGED)[0], encoder(inputs, RAGGED)[0])
    single = GRU(5, hidden_size=7, dropout=0.5)
    assert torch.equal(single(inputs, RAGGED)[0], single(inputs, RAGGED)[0])


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_packed_layer_by_layer_equals_packed_at_once(name):
    """The deterministic run on CUDA, with a dropout so small that nothing is dropped here."""
    encoder = create_encoder(name, 5, hidden_size=7, num_layers=3, bidirectional=True, dropout=1e-12)
    inputs = torch.randn(5, 11, 5)
    planes = encoder._to_planes(encoder._zeros(5))
    at_once = encoder._run_packed(inputs, RAGGED, planes)
    torch.use_deterministic_algorithms(True)
    try:
        by_layer = encoder._run_packed(inputs, RAGGED, planes)
    finally:
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(by_layer, at_once, **CLOSE)


def test_forget_bias_is_what_the_gate_begins_with():
    encoder = LSTM(5, hidden_size=7, num_layers=2, bidirectional=True, forget_bias=1.5)
    for _, _, input_bias, recurrent_bias in encoder.network.all_weights:
        assert torch.all((input_bias + recurrent_bias)[7:14] == 1.5)
        assert torch.all(recurrent_bias[:7] != 0)


@pytest.mark.parametrize(("name", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_orthogonal_init_is_orthogonal_for_each_gate(name, gates):
    encoder = create_encoder(name, 5, hidden_size=7, num_layers=2, bidirectional=True, recurrent_init="orthogonal")
    for _, weight, *_ in encoder.network.all_weights:
        assert weight.shape == (7 * gates, 7)
        for gate in weight.split(7):
            torch.testing.assert_close(gate @ gate.T, torch.eye(7), atol=1e-5, rtol=0)


def operations(encoder: nn.Module, time: int) -> dict[str, int]:
    """Returns how often each operation runs in a training step of ragged rows."""
    encoder.zero_grad()
    inputs = torch.randn(3, time, 5, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        outputs, _ = encoder(inputs, torch.tensor([time, time - 1, time - 3]))
        outputs.sum().backward()
    return {event.key: event.count for event in profile.key_averages()}


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_nothing_is_packed_and_nothing_quadratic_on_the_cpu(name):
    encoder = create_encoder(name, 5, hidden_size=7, num_layers=2, bidirectional=True)
    found = operations(encoder, 17)
    assert "aten::_pack_padded_sequence" not in found
    assert "aten::select_backward" not in found, "an index in each step costs a gradient of the whole sequence"
    if name == "lstm":
        assert found["aten::mkldnn_rnn_layer"] == 4, "the fused kernel, once for each layer and direction"


def test_more_steps_take_no_more_operations_of_the_lstm():
    encoder = create_encoder("lstm", 5, hidden_size=7)
    assert sum(operations(encoder, 67).values()) <= sum(operations(encoder, 17).values()) + 5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lstm", {"hidden_size": 0}, "LSTM: hidden_size must be a positive integer, got 0"),
        ("gru", {"num_layers": 1.5}, "encoder 'gru': num_layers must be a whole number, got 1.5"),
        ("rnn", {"hidden_size": "7"}, "encoder 'rnn': hidden_size must be a whole number, got '7'"),
        ("lstm", {"dropout": 1.5}, r"LSTM: dropout must be in \[0, 1\), got 1.5"),
        ("lstm", {"recurrent_init": "orthogonl"}, "must be one of uniform, orthogonal.*did you mean 'orthogonal'"),
        (
            "rnn",
            {"nonlinearity": "gelu"},
            "encoder 'rnn': nonlinearity must be one of tanh, relu, got 'gelu' .did you mean 'relu'",
        ),
    ],
)
def test_options_out_of_range_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        create_encoder(name, 5, **options)


def test_a_foreign_state_is_refused():
    encoder = create_encoder("lstm", 5, hidden_size=7)
    gru = create_encoder("gru", 5, hidden_size=7)
    with pytest.raises(ValueError, match=r"expected a state of 2 tensor\(s\) \(batch, 1, 7\), got \(3, 1, 7\)"):
        encoder(torch.zeros(3, 2, 5), torch.tensor([2, 1, 0]), gru.initial_state(3))
