"""The parallel recurrences: each is what its paper writes, step by step; gradients, long sequences, and learning."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import logsigmoid, softplus

from seqmodels.encoders import create_encoder, map_state

INPUT_SIZE, HIDDEN_SIZE, BATCH, TIME = 5, 6, 3, 151  # more than two chunks of any
NAMES = ("mingru", "minlstm", "qrnn", "sru", "rglru", "mlstm", "slstm", "s6")
VARIANTS = {
    **{name: {"name": name} for name in NAMES},
    "minlstm forgets": {"name": "minlstm", "forget_bias": 0.0},
    "qrnn of 3 steps": {"name": "qrnn", "kernel_size": 3},
    "sru deep": {"name": "sru", "highway_bias": -3.0},
    "mlstm 2 heads": {"name": "mlstm", "num_heads": 2},
    "slstm 2 heads": {"name": "slstm", "num_heads": 2},
    "s6 of 3": {"name": "s6", "state_size": 3},
}


def build(variant, input_size=INPUT_SIZE, hidden_size=HIDDEN_SIZE, scale=0.5):
    """Builds a variant in float64 with every weight moved, so that none is at 0 or 1."""
    torch.manual_seed(0)
    encoder = create_encoder({"hidden_size": hidden_size, **VARIANTS[variant]}, input_size).double()
    for parameter in encoder.parameters():
        parameter.detach().add_(scale * torch.randn_like(parameter))
    return encoder


def tensors_of(state):
    """Returns the tensors that lie in a state."""
    found = []
    map_state(lambda part: found.append(part) or part, state)
    return found


def positive(x):
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def mingru(encoder, xs):
    h = torch.zeros(BATCH, HIDDEN_SIZE).double()
    for x in xs:
        z, u = encoder.projection(x).split(HIDDEN_SIZE, dim=1)
        z = torch.sigmoid(z)
        h = (1 - z) * h + z * positive(u)
        yield h


def minlstm(encoder, xs):
    h = torch.zeros(BATCH, HIDDEN_SIZE).double()
    for x in xs:
        f, i, u = encoder.projection(x).split(HIDDEN_SIZE, dim=1)
        f, i = torch.sigmoid(f), torch.sigmoid(i)
        h = f / (f + i) * h + i / (f + i) * positive(u)
        yield h


def qrnn(encoder, xs):
    weights = encoder.projection.weight.split(INPUT_SIZE, dim=1)  # of each step in the window, the oldest first
    window = [torch.zeros_like(xs[0])] * len(weights)
    c = torch.zeros(BATCH, HIDDEN_SIZE).double()
    for x in xs:
        window = [*window[1:], x]
        gates = encoder.projection.bias + sum(seen @ weight.T for seen, weight in zip(window, weights, strict=True))
        z, f, o = gates.split(HIDDEN_SIZE, dim=1)
        f = torch.sigmoid(f)
        c = f * c + (1 - f) * torch.tanh(z)
        yield torch.sigmoid(o) * c


def sru(encoder, xs):
    c = torch.zeros(BATCH, HIDDEN_SIZE).double()
    for x in xs:
        u, f, r = encoder.projection(x).split(HIDDEN_SIZE, dim=1)
        f = torch.sigmoid(f + encoder.state_weight[0] * c + encoder.bias[0])
        r = torch.sigmoid(r + encoder.state_weight[1] * c + encoder.bias[1])
        c = f * c + (1 - f) * u
        yield r * c + (1 - r) * encoder.highway(x) * encoder.scale


def rglru(encoder, xs):
    h = torch.zeros(BATCH, HIDDEN_SIZE).double()
    for step in xs:
        x = encoder.projection(step)
        r, i = torch.sigmoid(encoder.gates(x)).split(HIDDEN_SIZE, dim=1)
        a = torch.exp(-8 * softplus(encoder.fading) * r)
        h = a * h + torch.sqrt(1 - a**2) * (i * x)
        yield h


def heads_of(x, num_heads):
    return x.view(BATCH, num_heads, -1)


def mlstm(encoder, xs):
    """Without the stabiliser: in float64 and with small gates nothing overflows."""
    heads, size = encoder.num_heads, HIDDEN_SIZE // encoder.num_heads
    memory = torch.zeros(BATCH, heads, size, size).double()
    normalizer = torch.zeros(BATCH, heads, size).double()
    for x in xs:
        q, k, v, o = (heads_of(part, heads) for part in encoder.projection(x).split(HIDDEN_SIZE, dim=1))
        k = k / math.sqrt(size)
        i, f = encoder.gates(x).split(heads, dim=1)
        i, f = torch.exp(i), torch.sigmoid(f)
        memory = f[..., None, None] * memory + i[..., None, None] * v[..., :, None] * k[..., None, :]
        normalizer = f[..., None] * normalizer + i[..., None] * k
        norm = (normalizer * q).sum(2, keepdim=True).abs().clamp(min=1)
        yield (torch.sigmoid(o) * (memory @ q[..., None])[..., 0] / norm).flatten(1)


def slstm(encoder, xs):
    """With the paper's stabiliser, but no more of it: c and n grow no larger than that."""
    heads = encoder.num_heads
    h, c, n = (torch.zeros(BATCH, HIDDEN_SIZE).double() for _ in range(3))
    m = None
    for x in xs:
        recurrent = torch.einsum("bhi,ghio->bgho", heads_of(h, heads), encoder.recurrent_weight)
        z, i, f, o = (encoder.projection(x).view(BATCH, 4, -1) + recurrent.flatten(2)).unbind(1)
        kept = logsigmoid(f) + (0 if m is None else m)
        new = i if m is None else torch.maximum(kept, i)
        f, i, m = torch.exp(kept - new), torch.exp(i - new), new
        c, n = f * c + i * torch.tanh(z), f * n + i
        h = torch.sigmoid(o) * c / n
        yield h


def s6(encoder, xs):
    state = torch.zeros(BATCH, HIDDEN_SIZE, encoder.state_size).double()
    rank = encoder.delta.in_features
    for x in xs:
        u = encoder.projection(x)
        low, write, read = encoder.selection(u).split([rank, encoder.state_size, encoder.state_size], dim=1)
        d = softplus(encoder.delta(low))
        decay = torch.exp(d[..., None] * -torch.exp(encoder.log_rate))
        state = decay * state + (d * u)[..., None] * write[:, None]
        yield (state * read[:, None]).sum(2) + encoder.skip * u


ORACLES = {name: globals()[name] for name in NAMES}


def oracle(encoder, variant, inputs):
    return torch.stack(list(ORACLES[variant.split()[0]](encoder, inputs.unbind(1))), dim=1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_what_the_paper_writes(variant):
    encoder = build(variant)
    inputs = torch.randn(BATCH, TIME, INPUT_SIZE).double().requires_grad_()
    outputs, _ = encoder(inputs, torch.full((BATCH,), TIME))
    expected = oracle(encoder, variant, inputs)
    torch.testing.assert_close(outputs, expected, atol=1e-10, rtol=1e-10)
    weights = torch.randn_like(outputs)
    trained = (inputs, *encoder.parameters())
    ours = torch.autograd.grad((outputs * weights).sum(), trained)
    theirs = torch.autograd.grad((expected * weights).sum(), trained)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)


def test_an_sru_of_one_size_has_no_matrix_on_its_highway():
    encoder = build("sru", input_size=HIDDEN_SIZE)
    inputs = torch.randn(BATCH, 7, HIDDEN_SIZE).double()
    outputs, _ = encoder(inputs, torch.full((BATCH,), 7))
    torch.testing.assert_close(outputs, oracle(encoder, "sru", inputs), atol=1e-10, rtol=1e-10)
    assert not list(encoder.highway.parameters())


@pytest.mark.parametrize("steps", [1, 4, 11])
@pytest.mark.parametrize("name", ["minlstm", "rglru", "sru"])
def test_it_goes_on_from_block_to_block(monkeypatch, name, steps):
    encoder = build(name)
    inputs = torch.randn(BATCH, 23, INPUT_SIZE).double().requires_grad_()
    lengths = torch.tensor([23, 17, 0])
    state = torch.randn(BATCH, HIDDEN_SIZE).double().requires_grad_()
    weights = torch.randn(BATCH, 23, HIDDEN_SIZE).double()

    def results():
        outputs, final = encoder(inputs, lengths, state)
        loss = (outputs * weights).sum() + final.square().sum()
        return outputs, final, *torch.autograd.grad(loss, (inputs, state, *encoder.parameters()))

    whole = results()
    monkeypatch.setattr("seqmodels.encoders.parallel.blocks._BLOCK", steps * BATCH * HIDDEN_SIZE)
    for one, other in zip(results(), whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_no_rows(name):
    encoder = create_encoder({"name": name, "hidden_size": 4}, 3)
    outputs, _ = encoder.step(torch.randn(0, 3), encoder.initial_state(0))
    assert outputs.shape == (0, 4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradcheck(variant):
    """Also through the state, in and out, and over padding."""
    encoder = build(variant, input_size=2, hidden_size=2, scale=0.3)
    lengths = torch.tensor([5, 3, 0])
    _, state = encoder(torch.randn(3, 2, 2).double(), torch.tensor([2, 1, 2]))
    parts = [part.detach().requires_grad_() for part in tensors_of(state)]

    def run(inputs, *given):
        remaining = list(given)
        outputs, final = encoder(inputs, lengths, map_state(lambda _: remaining.pop(0), state))
        return outputs, *tensors_of(final)

    assert torch.autograd.gradcheck(run, (torch.randn(3, 5, 2).double().requires_grad_(), *parts))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_long_sequences_of_large_inputs_stay_finite(name, dtype):
    torch.manual_seed(0)
    encoder = create_encoder({"name": name, "hidden_size": 4}, 3).to(dtype)
    inputs = (30 * torch.randn(2, 4096, 3)).to(dtype).requires_grad_()
    outputs, state = encoder(inputs, torch.tensor([4096, 1000]))
    outputs.float().sum().backward()
    assert torch.isfinite(outputs).all()
    assert torch.isfinite(inputs.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())
    assert all(torch.isfinite(part).all() for part in tensors_of(state))


@pytest.mark.parametrize("name", NAMES)
def test_the_state_of_half_precision_is_kept_in_float32(name):
    encoder = create_encoder({"name": name, "hidden_size": 4}, 3).bfloat16()
    _, state = encoder.step(torch.randn(2, 3).bfloat16(), encoder.initial_state(2))
    assert {part.dtype for part in tensors_of(state)} == {torch.float32}


@pytest.mark.parametrize("name", NAMES)
def test_float16_saturates_without_nan(name):
    torch.manual_seed(0)
    encoder = create_encoder({"name": name, "hidden_size": 7}, 5).half()
    for label, parameter in encoder.named_parameters():
        if label.endswith("weight"):
            parameter.detach().mul_(50)
    inputs = (20_000 * torch.randn(3, 11, 5)).half()
    assert torch.isinf(torch.nn.functional.linear(inputs, encoder.projection.weight[:, :5])).any()
    outputs, state = encoder(inputs, torch.tensor([11, 0, 4]))
    assert outputs.dtype == torch.float16
    assert torch.isfinite(outputs).all()
    assert all(torch.isfinite(part).all() for part in tensors_of(state))
    output, state = encoder.step(inputs[:, 0], state)
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_to_remember_the_first_step(name):
    torch.manual_seed(0)
    encoder = create_encoder({"name": name, "hidden_size": 16}, 3)
    head = torch.nn.Linear(16, 2)
    inputs, lengths = torch.randn(32, 11, 3), torch.randint(5, 12, (32,))
    targets = (inputs[:, 0, 0] > 0).long()
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=0.03)
    for _ in range(100):
        outputs, _ = encoder(inputs, lengths)
        loss = torch.nn.functional.cross_entropy(head(encoder.summary(outputs, lengths)), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_both_directions(name):
    encoder = create_encoder({"name": "bidirectional", "layer": {"name": name, "hidden_size": 7}}, 3)
    inputs, lengths = torch.randn(2, 5, 3), torch.tensor([5, 3])
    outputs, _ = encoder(inputs, lengths)
    changed = inputs.clone()
    changed[1, 2] += 1.0
    assert outputs.shape == (2, 5, 14)
    others, _ = encoder(changed, lengths)
    assert not torch.allclose(others[1, 0, 7:], outputs[1, 0, 7:])
    torch.testing.assert_close(others[1, :2, :7], outputs[1, :2, :7])


def test_rglru_starts_with_slow_decays():
    encoder = create_encoder({"name": "rglru", "hidden_size": 101}, 3)
    decay = torch.exp(-8 * softplus(encoder.fading))
    assert decay.min() >= 0.9 - 1e-4
    assert decay.max() <= 0.999 + 1e-4


def test_s6_starts_with_small_steps():
    encoder = create_encoder({"name": "s6", "hidden_size": 101}, 3)
    delta = softplus(encoder.delta.bias)
    assert delta.min() >= 0.001 - 1e-5
    assert delta.max() <= 0.1 + 1e-5


@pytest.mark.parametrize("name", ["mlstm", "slstm"])
def test_heads_must_divide_the_features(name):
    with pytest.raises(ValueError, match="hidden_size must be a multiple of num_heads, got 7 and 2"):
        create_encoder({"name": name, "hidden_size": 7, "num_heads": 2}, 3)


@pytest.mark.parametrize(
    ("name", "size"), [("qrnn", "kernel_size"), ("s6", "state_size"), ("mlstm", "num_heads"), ("slstm", "num_heads")]
)
def test_sizes_must_be_positive(name, size):
    with pytest.raises(ValueError, match=f"{size} must be a positive integer, got 0"):
        create_encoder({"name": name, size: 0}, 3)
