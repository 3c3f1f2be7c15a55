"""Forget gates: against the equations step by step, and where chrono initialisation puts them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from seqmodels.diagnostics.gates import GATES, check_gated, forget_activations, initialize_chrono
from seqmodels.encoders import create_encoder
from seqmodels.errors import ConfigurationError

BATCH, TIME, SIZE, HIDDEN = 3, 11, 5, 7


def read(spec, lengths=(11, 4, 0)):
    torch.manual_seed(0)
    encoder = create_encoder(spec, SIZE).eval()
    inputs = torch.randn(BATCH, TIME, SIZE)
    return encoder, inputs, torch.tensor(lengths)


def gates_of(spec, encoder, inputs, lengths):
    return {name: forget.exp() for name, (forget, _) in forget_activations(spec, encoder, inputs, lengths).items()}


@pytest.mark.parametrize("name", sorted(GATES))
def test_all_that_is_kept_goes_through_f(name):
    """The derivative of the next memory by the last one is f, where nothing goes through the output."""
    spec = {"name": name, "hidden_size": HIDDEN}
    encoder, inputs, lengths = read(spec, (11, 11, 11))
    with torch.no_grad():
        for key, parameter in encoder.named_parameters():
            if "weight_hh" in key or "from_state" in key or "from_reset_state" in key:
                parameter.zero_()
    (forget,) = gates_of(spec, encoder, inputs, lengths).values()
    state = encoder.initial_state(BATCH)
    for step in range(TIME):
        parts = state if isinstance(state, tuple) else (state,)
        memory = parts[-1].detach().requires_grad_()  # c of an LSTM, h of the others
        given = (*[part.detach() for part in parts[:-1]], memory) if isinstance(state, tuple) else memory
        _, state = encoder.step(inputs[:, step], given)
        following = state[-1] if isinstance(state, tuple) else state
        (gradient,) = torch.autograd.grad(following.sum(), memory)
        torch.testing.assert_close(gradient.reshape(BATCH, HIDDEN), forget[:, step], atol=1e-5, rtol=1e-4)


def test_the_output_enters_the_gates():
    torch.manual_seed(0)
    encoder = create_encoder("lstm_cell", SIZE, hidden_size=HIDDEN)
    _, inputs, lengths = read("lstm_cell", (11, 11, 11))
    (forget,) = gates_of("lstm_cell", encoder, inputs, lengths).values()
    state = encoder.initial_state(BATCH)
    for step in range(TIME):
        sums = encoder.cell.project(inputs[:, step]) + encoder.cell.from_state(state[0])
        torch.testing.assert_close(torch.sigmoid(sums[:, HIDDEN : 2 * HIDDEN]), forget[:, step])
        _, state = encoder.step(inputs[:, step], state)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_layers_and_directions_are_told_apart(kind):
    """Two layers of one network are a stack of two networks with the same weights."""
    spec = {"name": kind, "hidden_size": HIDDEN, "num_layers": 2}
    encoder, inputs, lengths = read(spec)
    stack_spec = {"name": "stacked", "layers": [{"name": kind, "hidden_size": HIDDEN}] * 2}
    stack = create_encoder(stack_spec, SIZE)
    for layer, weights in zip(stack.layers, encoder.network.all_weights, strict=True):
        for own, given in zip(layer.network.all_weights[0], weights, strict=True):
            own.data.copy_(given)
    one, two = gates_of(spec, encoder, inputs, lengths), gates_of(stack_spec, stack, inputs, lengths)
    assert list(one) == [f"{kind}, part 1", f"{kind}, part 2"]
    assert list(two) == [f"layer 1 {kind}", f"layer 2 {kind}"]
    for left, right in zip(one.values(), two.values(), strict=True):
        for row, length in enumerate(lengths.tolist()):
            torch.testing.assert_close(left[row, :length], right[row, :length])


def test_the_backward_direction_reads_from_the_end():
    spec = {"name": "lstm", "hidden_size": HIDDEN, "bidirectional": True}
    encoder, inputs, lengths = read(spec)
    ahead, back = gates_of(spec, encoder, inputs, lengths).values()
    changed = inputs.clone()
    changed[0, 10], changed[1, 3] = 1.0, 1.0  # the last real steps
    ahead_changed, back_changed = gates_of(spec, encoder, changed, lengths).values()
    torch.testing.assert_close(ahead_changed[0, :10], ahead[0, :10])
    assert not torch.isclose(back_changed[1, 0], back[1, 0]).all()


@pytest.mark.parametrize("name", sorted(GATES))
def test_chrono_spreads_memories_up_to_the_longest(name):
    """On silent inputs and an empty state f is sigmoid(ln u) = u / (1 + u), so f / (1 - f) is u."""
    spec = {"name": name, "hidden_size": 499}
    encoder, inputs, lengths = read(spec, (11, 11, 11))
    assert initialize_chrono(spec, encoder, 200, Generator().manual_seed(1))
    ((forget),) = gates_of(spec, encoder, torch.zeros_like(inputs), lengths).values()
    spread = forget[:, 0] / (1 - forget[:, 0])
    assert float(spread.min()) == pytest.approx(1, abs=2)
    assert float(spread.max()) == pytest.approx(199, rel=0.05)
    assert float(spread.mean()) == pytest.approx(100, rel=0.1)


def test_chrono_depends_on_the_seed_alone():
    found = []
    for seed in (1, 1, 2):
        encoder = create_encoder("lstm", SIZE, hidden_size=HIDDEN)
        initialize_chrono("lstm", encoder, 100, Generator().manual_seed(seed))
        found.append(encoder.network.bias_ih_l0[: 2 * HIDDEN].detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    torch.testing.assert_close(found[0][:HIDDEN], -found[0][HIDDEN:])
    assert float(found[0].max()) <= math.log(99)


def test_what_has_no_gates_is_left_alone():
    encoder = create_encoder("rnn", SIZE, hidden_size=HIDDEN)
    before = [parameter.clone() for parameter in encoder.parameters()]
    assert not initialize_chrono("rnn", encoder, 100, Generator())
    assert all(map(torch.equal, before, encoder.parameters()))
    with pytest.raises(ConfigurationError, match=r"gates of encoder 'rnn' are not known; known: .*gru, .*lstm"):
        check_gated("rnn", encoder)


def test_chrono_needs_some_steps():
    with pytest.raises(ConfigurationError, match="at least 3 steps, got 2"):
        initialize_chrono("lstm", create_encoder("lstm", SIZE), 2, Generator())
