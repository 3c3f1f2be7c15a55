"""The cells against torch's networks, and against their equations written once more in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqmodels.encoders import Unrolled, create_encoder
from seqmodels.encoders.weight_conversion import (
    gru_cell_from_torch,
    gru_cell_to_torch,
    lstm_cell_from_torch,
    lstm_cell_to_torch,
)
from seqmodels.errors import ConfigurationError

EXACT = {"atol": 1e-12, "rtol": 0}
FULL = torch.full((3,), 11)
FROM_TORCH = {nn.LSTM: lstm_cell_from_torch, nn.GRU: gru_cell_from_torch}
TO_TORCH = {nn.LSTM: lstm_cell_to_torch, nn.GRU: gru_cell_to_torch}


def random_inputs() -> Tensor:
    return torch.randn(3, 11, 5, dtype=torch.float64)


def planes_of(state: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def assert_same(encoder: Unrolled, network: nn.LSTM | nn.GRU, inputs: Tensor) -> None:
    """Asserts the same outputs, final state and gradients by the inputs, from the same random state."""
    ours, theirs = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
    start = [torch.randn(3, encoder.output_size, dtype=inputs.dtype) for _ in planes_of(encoder.initial_state(3))]
    join = tuple if len(start) > 1 else (lambda parts: parts[0])
    outputs, state = encoder(ours, FULL, join(start))
    wanted, wanted_state = network(theirs, join([part.unsqueeze(0) for part in start]))
    torch.testing.assert_close(outputs, wanted, **EXACT)
    for part, plane in zip(planes_of(state), planes_of(wanted_state), strict=True):
        torch.testing.assert_close(part, plane.squeeze(0), **EXACT)
    outputs.sin().sum().backward()
    wanted.sin().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, **EXACT)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_equals_torch_with_its_weights(kind, bias):
    torch.manual_seed(0)
    network = kind(5, 7, batch_first=True, bias=bias).double()
    assert_same(Unrolled(FROM_TORCH[kind](network)), network, random_inputs())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_torch_equals_it_with_its_weights(kind):
    torch.manual_seed(0)
    cell = FROM_TORCH[kind](kind(5, 7).double())
    network = TO_TORCH[kind](cell)
    assert_same(Unrolled(cell), network, random_inputs())
    again = FROM_TORCH[kind](network)
    for name, parameter in cell.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
        assert parameter.requires_grad
    again.from_input.weight.detach().zero_()
    assert network.weight_ih_l0.abs().sum() > 0


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_every_layer_and_direction_converts(kind):
    torch.manual_seed(0)
    network = kind(5, 7, num_layers=2, bidirectional=True, batch_first=True).double()
    inputs = random_inputs()
    wanted, _ = network(inputs)
    outputs = inputs
    for layer in range(2):
        ahead, back = (Unrolled(FROM_TORCH[kind](network, layer=layer, reverse=reverse)) for reverse in (False, True))
        outputs = torch.cat([ahead(outputs, FULL)[0], back(outputs.flip(1), FULL)[0].flip(1)], dim=2)
    torch.testing.assert_close(outputs, wanted, **EXACT)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_our_kernels_convert_to_cells_and_back(name):
    convert, back = {
        "lstm": (lstm_cell_from_torch, lstm_cell_to_torch),
        "gru": (gru_cell_from_torch, gru_cell_to_torch),
    }[name]
    torch.manual_seed(0)
    encoder = create_encoder(name, 5, hidden_size=7).double()
    lengths = torch.tensor([11, 0, 4])
    inputs = random_inputs()
    wanted = encoder(inputs, lengths)[0]
    cell = convert(encoder.network)
    torch.testing.assert_close(Unrolled(cell)(inputs, lengths)[0], wanted, **EXACT)
    other = create_encoder(name, 5, hidden_size=7).double()
    other.network.load_state_dict(back(cell).state_dict())
    torch.testing.assert_close(other(inputs, lengths)[0], wanted, **EXACT)


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda: lstm_cell_from_torch(nn.LSTM(5, 7), layer=1), "LSTM: expected a layer from 0 to 0 .* got layer=1"),
        (lambda: gru_cell_from_torch(nn.GRU(5, 7, 2), layer=-1), "GRU: expected a layer from 0 to 1 .* got layer=-1"),
        (lambda: gru_cell_from_torch(nn.GRU(5, 7), reverse=True), "in 1 direction.* reverse=True"),
        (lambda: lstm_cell_from_torch(nn.LSTM(5, 7, proj_size=3)), "without projection of h, got proj_size=3"),
    ],
)
def test_what_does_not_convert_says_so(convert, message):
    with pytest.raises(ConfigurationError, match=message):
        convert()


def test_the_plain_cell_equals_torch():
    torch.manual_seed(0)
    encoder = create_encoder("elman", 5, hidden_size=7).double()
    network = nn.RNN(5, 7, batch_first=True).double()
    weights = {"weight_ih_l0": encoder.cell.from_input.weight, "weight_hh_l0": encoder.cell.from_state.weight}
    biases = {"bias_ih_l0": encoder.cell.from_input.bias, "bias_hh_l0": torch.zeros(7)}
    network.load_state_dict({**weights, **biases})
    assert_same(encoder, network, random_inputs())


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def normalize(values: np.ndarray, gain: np.ndarray, bias: np.ndarray | float) -> np.ndarray:
    return gain * (values - values.mean()) / np.sqrt(values.var() + 1e-5) + bias


Weights = dict[str, np.ndarray]
Step = Callable[[Weights, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def gates_of(weights: Weights, x: np.ndarray, h: np.ndarray) -> list[np.ndarray]:
    """Returns W_k [h, x] + b_k for each gate k, of the joint matrix, as the papers write it."""
    joint = np.concatenate([weights["from_state.weight"], weights["from_input.weight"]], axis=1)
    return np.split(joint @ np.concatenate([h, x]) + weights["from_input.bias"], len(joint) // len(h))


def lstm(weights: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, f, g, o = gates_of(weights, x, h)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def peephole(weights: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, f, g, o = gates_of(weights, x, h)
    p_i, p_f, p_o = (np.diag(row) for row in weights["peepholes"])
    new = sigmoid(f + p_f @ c) * c + sigmoid(i + p_i @ c) * np.tanh(g)
    return sigmoid(o + p_o @ new) * np.tanh(new), new


def coupled(weights: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    f, g, o = gates_of(weights, x, h)
    c = sigmoid(f) * c + sigmoid(-f) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def layer_norm(weights: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    by_input = normalize(weights["from_input.weight"] @ x, weights["input_norm.weight"], weights["input_norm.bias"])
    by_state = normalize(weights["from_state.weight"] @ h, weights["state_norm.weight"], 0.0)
    i, f, g, o = np.split(by_input + by_state, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(normalize(c, weights["memory_norm.weight"], weights["memory_norm.bias"])), c


def gru_2014(weights: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w_r, w_z, w = np.split(weights["from_input.weight"], 3)
    b_r, b_z, b = np.split(weights["from_input.bias"], 3)
    u_r, u_z = np.split(weights["from_state.weight"], 2)
    r = sigmoid(np.hstack([u_r, w_r]) @ np.concatenate([h, x]) + b_r)
    z = sigmoid(np.hstack([u_z, w_z]) @ np.concatenate([h, x]) + b_z)
    new = np.tanh(np.hstack([weights["from_reset_state.weight"], w]) @ np.concatenate([r * h, x]) + b)
    return (1 - z) * h + z * new, c


def independent(weights: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = np.diag(weights["recurrent_weight"])
    return np.maximum(weights["from_input.weight"] @ x + own @ h + weights["from_input.bias"], 0), c


ORACLES: dict[str, Step] = {
    "lstm_cell": lstm,
    "peephole_lstm": peephole,
    "coupled_lstm": coupled,
    "layer_norm_lstm": layer_norm,
    "gru_2014": gru_2014,
    "indrnn": independent,
}


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_equals_its_equations_in_numpy(name):
    torch.manual_seed(0)
    encoder = create_encoder(name, 5, hidden_size=7).double()
    with torch.no_grad():  # gains of 1 and biases of 0 would hide what they multiply and add
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    weights = {label: parameter.detach().numpy() for label, parameter in encoder.cell.named_parameters()}
    inputs = random_inputs()
    h, c = torch.randn(2, 3, 7, dtype=torch.float64).abs()
    outputs, state = encoder(inputs, FULL, (h, c) if isinstance(encoder.initial_state(3), tuple) else h)
    for row in range(3):
        hidden, memory = h[row].numpy(), c[row].numpy()
        for step in range(11):
            hidden, memory = ORACLES[name](weights, inputs[row, step].numpy(), hidden, memory)
            np.testing.assert_allclose(outputs[row, step].detach().numpy(), hidden, atol=1e-12, rtol=0)
        for part, wanted in zip(planes_of(state), (hidden, memory), strict=False):
            np.testing.assert_allclose(part[row].detach().numpy(), wanted, atol=1e-12, rtol=0)
