"""Gradients by distance: against one autograd over the whole recurrence, written out."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from seqmodels.diagnostics.gradient_flow import (
    Flow,
    FlowOptions,
    gradient_norms,
    measure_flows,
    scale_recurrent_weights,
)
from seqmodels.diagnostics.memory_tasks import memory_task_registry
from seqmodels.diagnostics.solve import Solver, Training
from seqmodels.diagnostics.state_gradients import state_gradient_norms
from seqmodels.encoders import create_encoder, encoder_registry
from seqmodels.errors import ConfigurationError

BATCH, TIME, SIZE, HIDDEN = 3, 13, 5, 7


def data():
    torch.manual_seed(0)
    return torch.randn(BATCH, TIME, SIZE), torch.tensor([13, 7, 0])


@pytest.mark.parametrize("chunk", [1, 4, 13, 20])
def test_equals_full_autograd_on_a_plain_network(chunk):
    inputs, lengths = data()
    encoder = create_encoder("elman", SIZE, hidden_size=HIDDEN)
    cell = encoder.cell
    states = [torch.zeros(BATCH, HIDDEN, requires_grad=True)]
    for step in range(TIME):
        h = torch.tanh(cell.from_input(inputs[:, step]) + cell.from_state(states[-1]))
        states.append(torch.where((step < lengths).unsqueeze(1), h, states[-1].clone()))
    rows = torch.arange(BATCH)
    last = torch.stack(states, dim=1)[rows, lengths] * (lengths > 0).unsqueeze(1)
    expected = torch.autograd.grad(last.square().sum(), states)
    found = state_gradient_norms(
        encoder, inputs, lengths, lambda outputs: encoder.summary(outputs, lengths).square().sum(), chunk=chunk
    )
    assert [step for step, _ in found] == list(range(0, TIME, chunk))
    for step, norms in found:
        kept = (step < lengths) & (lengths > 0)
        torch.testing.assert_close(norms[kept], expected[step].norm(dim=1)[kept])
        assert not norms[~kept].any()


def test_equals_the_product_of_jacobians():
    """In a linear recurrence h = f h + ..., dL/dh_t is the product of the gates behind t."""
    inputs, _ = data()
    lengths = torch.full((BATCH,), TIME)
    encoder = create_encoder("mingru", SIZE, hidden_size=HIDDEN)
    with torch.no_grad():
        kept = 1 - torch.sigmoid(encoder.projection(inputs).chunk(2, dim=2)[0])
    found = state_gradient_norms(encoder, inputs, lengths, lambda outputs: outputs[:, -1].sum())
    for step, norms in found:
        torch.testing.assert_close(norms, kept[:, step:].prod(1).norm(dim=1), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in encoder_registry.names() if name not in ("pretrained",)])
def test_any_causal_encoder_can_be_measured(name):
    inputs, lengths = data()
    arguments = {
        "stacked": {"layers": ["lstm", "convolution"]},
        "bidirectional": {"layer": "lstm"},
        "mlstm": {"hidden_size": 8},
        "slstm": {"hidden_size": 8},
    }
    given = encoder_registry.arguments(name)
    if any(value.default is value.empty and key not in arguments.get(name, {}) for key, value in given.items()):
        pytest.skip("has required arguments")
    encoder = create_encoder({"name": name, **arguments.get(name, {})}, SIZE)
    if not encoder.causal:
        with pytest.raises(ConfigurationError, match="reads the future"):
            state_gradient_norms(encoder, inputs, lengths, torch.sum)
        return
    found = state_gradient_norms(encoder.eval(), inputs, lengths, torch.sum, chunk=5)
    assert [step for step, _ in found] == [0, 5, 10]
    assert all(torch.isfinite(norms).all() for _, norms in found)


def test_refuses_chunks_without_steps():
    inputs, lengths = data()
    with pytest.raises(ConfigurationError, match="chunk must be at least 1 step, got 0"):
        state_gradient_norms(create_encoder("gru", SIZE), inputs, lengths, torch.sum, chunk=0)


def test_plain_networks_vanish_and_explode_while_gated_ones_hold():
    task = memory_task_registry.create("temporal_order", 150)
    flows = measure_flows(
        ["rnn", "lstm", "gru"], task, Training(hidden_size=31), FlowOptions(train_steps=0, rows=5, scale=4, chunk=5)
    )
    verdicts = {(flow.encoder, flow.condition): flow.verdict for flow in flows}
    assert verdicts == {
        ("rnn", "at initialisation"): "vanishes",
        ("rnn", "recurrent weights x 4"): "explodes",
        ("lstm", "at initialisation"): "holds",
        ("lstm", "recurrent weights x 4"): "holds",
        ("gru", "at initialisation"): "holds",
        ("gru", "recurrent weights x 4"): "holds",
    }
    assert flows[0].distances == list(range(5, 151, 5))


def test_distances_and_norms_begin_at_the_loss():
    task = memory_task_registry.create("copy_memory", 7)
    solver = Solver({"name": "gru", "hidden_size": HIDDEN}, task, Training(), 0)
    distances, norms = gradient_norms(solver, task, rows=3, chunk=10, generator=Generator().manual_seed(0))
    assert distances == [7, 17, 27]
    assert norms[0] > norms[1] > 0
    assert Flow("gru", "", distances, [0.5, 0.25, 0.001]).relative == [1, 0.5, 0.002]
    assert Flow("gru", "", distances, [0.5, 0.25, 0.001]).reach() == 17


def test_what_has_no_recurrent_weights_cannot_be_scaled():
    gru, mingru = (create_encoder(name, SIZE, hidden_size=HIDDEN) for name in ("gru", "mingru"))
    before = gru.network.weight_hh_l0.detach().clone()
    assert scale_recurrent_weights(gru, 3.0)
    torch.testing.assert_close(gru.network.weight_hh_l0.detach(), 3 * before)
    assert not scale_recurrent_weights(mingru, 3.0)


@pytest.mark.parametrize(
    ("option", "message"),
    [({"rows": 0}, "rows must be at least 1, got 0"), ({"scale": 0}, "scale must be above 0, got 0")],
)
def test_refuses_options_out_of_range(option, message):
    with pytest.raises(ConfigurationError, match=message):
        FlowOptions(**option)
