"""Dropped recurrent weights and locked dropout: the regularisers of the AWD-LSTM."""

from __future__ import annotations

import pytest
import torch

from seqmodels.encoders import create_encoder
from seqmodels.errors import ConfigurationError

KINDS = ("lstm", "gru", "rnn")
LENGTHS = torch.tensor([11, 3, 0, 7, 1])  # batch 5, time 11
FULL = torch.full((5,), 11)
TWO_GROUPS = torch.tensor([11] * 7 + [1] * 6)  # so far apart that they are run in groups
CLOSE = {"atol": 2e-5, "rtol": 2e-5}


def make(name, **arguments):
    torch.manual_seed(0)
    return create_encoder(name, 5, **{"hidden_size": 7, "num_layers": 2, **arguments})


def inputs_for(lengths):
    return torch.randn(len(lengths), 11, 5, generator=torch.Generator().manual_seed(1))


def recurrent_weights(encoder):
    return [weights[1] for weights in encoder.network.all_weights]


def with_masks(encoder, plain, seed):
    """Gives `plain` the recurrent weights that `encoder` draws next after `seed`; returns what was kept of each."""
    torch.manual_seed(seed)
    dropped = [weights[1].detach() for weights in encoder._weights()]
    with torch.no_grad():
        for weight, value in zip(recurrent_weights(plain), dropped, strict=True):
            weight.copy_(value)
    return [value != 0 for value in dropped]


@pytest.mark.parametrize("name", KINDS)
def test_without_training_nothing_is_dropped(name):
    arguments = {"bidirectional": True, "recurrent_weight_dropout": 0.5, "dropout": 0.5, "locked_dropout": True}
    plain, encoder = make(name, bidirectional=True).eval(), make(name, **arguments).eval()
    assert list(encoder.state_dict()) == list(plain.state_dict())
    for lengths in (LENGTHS, FULL):
        assert torch.equal(encoder(inputs_for(lengths), lengths)[0], plain(inputs_for(lengths), lengths)[0])


@pytest.mark.parametrize("lengths", [LENGTHS, FULL, TWO_GROUPS], ids=["ragged", "full", "groups"])
@pytest.mark.parametrize("name", KINDS)
def test_one_mask_for_all_rows_and_steps_and_no_gradient_where_it_drops(name, lengths):
    """The same as a network whose recurrent weights are the dropped ones, for rows in groups too."""
    encoder = make(name, bidirectional=True, recurrent_weight_dropout=0.5)
    plain = make(name, bidirectional=True)
    masks = with_masks(encoder, plain, seed=3)
    torch.manual_seed(3)
    outputs, _ = encoder(inputs_for(lengths), lengths)
    expected, _ = plain(inputs_for(lengths), lengths)
    torch.testing.assert_close(outputs, expected, **CLOSE)
    outputs.sin().sum().backward()
    expected.sin().sum().backward()
    for weight, other, kept in zip(recurrent_weights(encoder), recurrent_weights(plain), masks, strict=True):
        assert 0.2 < kept.float().mean() < 0.8
        assert weight.is_leaf
        torch.testing.assert_close(weight.grad, 2 * other.grad * kept, **CLOSE)
        assert torch.all(weight.grad[~kept] == 0)
        assert weight.grad[kept].abs().sum() > 0


@pytest.mark.parametrize("name", KINDS)
def test_the_packed_run_drops_the_same(name):
    encoder = make(name, bidirectional=True, recurrent_weight_dropout=0.5)
    planes = encoder._to_planes(encoder._zeros(5))
    torch.manual_seed(3)
    packed, _ = encoder._run_packed(inputs_for(LENGTHS), LENGTHS, planes)
    torch.manual_seed(3)
    padded, _ = encoder._run_padded(inputs_for(LENGTHS), LENGTHS, planes)
    torch.testing.assert_close(packed, padded, **CLOSE)


def test_masks_are_right_on_average_and_new_at_every_call():
    encoder = make("lstm", num_layers=1, recurrent_weight_dropout=0.25)
    drawn = torch.stack([encoder._weights()[0][1].detach() for _ in range(4001)])
    whole = recurrent_weights(encoder)[0].detach()
    torch.testing.assert_close(drawn.mean(0), whole, atol=0.015, rtol=0.05)  # 5 standard errors of weights up to 0.38
    assert torch.all(drawn.isclose(whole / 0.75) | (drawn == 0))
    assert (drawn == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    first, second = (encoder(inputs_for(FULL), FULL)[0] for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", KINDS)
def test_a_step_drops_as_forward_of_one_step_does(name):
    encoder = make(name, num_layers=1, recurrent_weight_dropout=0.5)
    start = inputs_for(FULL)
    encoder.eval()
    _, state = encoder(start[:, :6], FULL - 5)
    encoder.train()
    torch.manual_seed(3)
    output, _ = encoder.step(start[:, 6], state)
    torch.manual_seed(3)
    whole, _ = encoder(start[:, 6:7], torch.ones_like(FULL), state)
    torch.testing.assert_close(output, whole[:, 0], **CLOSE)


def zeros_between(encoder, lengths):
    """Returns what the second layer is given, (batch, time, hidden_size): zero where dropped, nowhere else."""
    seen = []
    handle = encoder.between.register_forward_hook(lambda module, given, result: seen.append(result.detach()))
    encoder(inputs_for(lengths), lengths)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("name", [*KINDS, "stacked"])
def test_locked_dropout_drops_a_feature_of_a_row_at_all_steps_or_none(name):
    arguments = {"dropout": 0.5, "locked_dropout": True}
    layers = [{"name": kind, "hidden_size": 7} for kind in KINDS]
    encoder = create_encoder("stacked", 5, layers=layers, **arguments) if name == "stacked" else make(name, **arguments)
    dropped = zeros_between(encoder, FULL) == 0
    assert torch.equal(dropped.any(1), dropped.all(1))
    rows = dropped.all(1)
    assert 0 < rows.sum() < rows.numel()
    assert not torch.equal(rows[0], rows[1])


@pytest.mark.parametrize("name", KINDS)
def test_dropout_that_is_not_locked_drops_others_at_each_step(name):
    dropped = zeros_between(make(name, dropout=0.5), FULL) == 0
    assert not torch.equal(dropped.any(1), dropped.all(1))


def test_locked_dropout_of_packed_steps_is_by_row():
    """Each row's features are dropped as a whole, where rows end at different steps."""
    encoder = make("gru", dropout=0.5, locked_dropout=True)
    sizes = torch.tensor([4, 3, 3, 1])  # rows of 4, 3, 3 and 1 steps
    rows = torch.tensor([0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 0])
    values = encoder._drop_packed(torch.ones(11, 7), sizes)
    assert set(values.unique().tolist()) == {0.0, 2.0}
    for row in range(4):
        assert len(values[rows == row].unique(dim=0)) == 1
    assert len(values.unique(dim=0)) == 4


def test_the_packed_run_with_locked_dropout_goes_by_layer():
    encoder = make("lstm", dropout=0.5, locked_dropout=True, bidirectional=True)
    planes = encoder._to_planes(encoder._zeros(5))
    outputs, final = encoder._run_packed(inputs_for(LENGTHS), LENGTHS, planes)
    assert outputs.shape == (5, 11, 14)
    assert [part.shape for part in final] == [(4, 5, 7), (4, 5, 7)]
    encoder.eval()
    packed, _ = encoder._run_packed(inputs_for(LENGTHS), LENGTHS, planes)
    torch.testing.assert_close(packed, encoder(inputs_for(LENGTHS), LENGTHS)[0], **CLOSE)


def test_the_awd_lstm_is_a_stack_of_layers_of_their_own_sizes():
    layers = [{"name": "lstm", "hidden_size": size, "recurrent_weight_dropout": 0.5} for size in (13, 13, 5)]
    encoder = create_encoder("stacked", 5, layers=layers, dropout=0.25, locked_dropout=True)
    assert encoder.causal
    outputs, state = encoder(inputs_for(LENGTHS), LENGTHS)
    assert outputs.shape == (5, 11, 5)
    outputs.sin().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
    output, _ = encoder.step(inputs_for(FULL)[:, 0], state)
    assert output.shape == (5, 5)
    encoder.eval()
    whole, _ = encoder(inputs_for(FULL), FULL)
    begun, state = encoder(inputs_for(FULL)[:, :4], FULL - 7)
    rest, _ = encoder(inputs_for(FULL)[:, 4:], FULL - 4, state)
    torch.testing.assert_close(torch.cat([begun, rest], dim=1), whole, **CLOSE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", KINDS)
def test_on_cuda_gradients_reach_the_raw_weights(name, recwarn):
    encoder = make(name, dropout=0.5, locked_dropout=True, recurrent_weight_dropout=0.5, bidirectional=True).cuda()
    plain = make(name, bidirectional=True).cuda()
    outputs, _ = encoder(inputs_for(LENGTHS).cuda(), LENGTHS.cuda())
    outputs.sin().sum().backward()
    for weight in recurrent_weights(encoder):
        assert 0.2 < (weight.grad == 0).float().mean() < 0.8
    encoder.eval()
    expected, _ = plain.eval()(inputs_for(LENGTHS).cuda(), LENGTHS.cuda())
    torch.testing.assert_close(encoder(inputs_for(LENGTHS).cuda(), LENGTHS.cuda())[0], expected, **CLOSE)
    assert not [warning for warning in recwarn if "contiguous chunk" in str(warning.message)]


@pytest.mark.parametrize("name", KINDS)
def test_a_rate_that_is_no_probability_is_refused(name):
    with pytest.raises(ConfigurationError, match=r"recurrent_weight_dropout must be in \[0, 1\), got 1.5"):
        make(name, recurrent_weight_dropout=1.5)
