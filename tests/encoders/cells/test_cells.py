"""Every registered cell: its gradients, its two ways to step, float16; what a faulty cell is told."""

from __future__ import annotations

import copy
import importlib
import sys
import time
from pathlib import Path

import contract
import pytest
import torch
from torch import nn
from torch.func import functional_call

from seqmodels.encoders import Cell, Unrolled, create_encoder, encoder_registry, list_encoders, map_state
from seqmodels.encoders.encoder import register_encoder
from seqmodels.errors import ConfigurationError

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "leaky_package"))
importlib.import_module("leaky")

NAMES = [name for name in list_encoders() if issubclass(encoder_registry.get(name), Cell)]
WRAPPERS = ("zoneout", "variational_dropout")
FORGETTING = {  # where the bias of the forget gate lies
    "lstm_cell": ("from_input.bias", slice(7, 14)),
    "peephole_lstm": ("from_input.bias", slice(7, 14)),
    "coupled_lstm": ("from_input.bias", slice(0, 7)),
    "layer_norm_lstm": ("input_norm.bias", slice(7, 14)),
}


def build(name: str, hidden_size: int = 7) -> Unrolled:
    """Builds a cell of 5 inputs, unrolled; a wrapper gets an LSTM."""
    spec = {"cell": {"name": "lstm_cell", "hidden_size": hidden_size}} if name in WRAPPERS else {}
    torch.manual_seed(0)
    encoder = create_encoder(name, 5, **(spec or {"hidden_size": hidden_size}))
    assert isinstance(encoder, Unrolled)
    return encoder


def random_state(encoder: Unrolled, batch: int, seed: int = 1):
    """Returns a state of normal values, requiring gradients; masks stay as they are drawn."""
    torch.manual_seed(seed)
    state = encoder.initial_state(batch)
    return map_state(lambda part: torch.randn_like(part).requires_grad_(), state)


@pytest.mark.parametrize("mode", ["evaluation", "training"])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_differences(name, mode):
    encoder = build(name, hidden_size=3).double().train(mode == "training")
    state = random_state(encoder, 2)
    inputs = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    names = [label for label, _ in encoder.named_parameters()]
    parts = contract.tensors_of(state)

    def run(inputs, *others):
        torch.manual_seed(2)  # the same zoneout each time
        parameters = dict(zip(names, others, strict=False))
        given = iter(others[len(names) :])
        start = map_state(lambda _: next(given), state)
        outputs, final = functional_call(encoder, parameters, (inputs, torch.tensor([3, 2]), start))
        return (outputs, *contract.tensors_of(final))

    assert torch.autograd.gradcheck(run, (inputs, *encoder.parameters(), *parts))


@pytest.mark.parametrize("name", NAMES)
def test_a_projected_step_equals_the_step(name):
    cell = build(name).cell.eval()
    inputs = torch.randn(5, 11, 5)
    state = random_state(build(name), 5)
    output, following = cell.step(inputs[:, 3], state)
    projected_output, projected_following = cell.step_projected(cell.project(inputs)[:, 3], state)
    torch.testing.assert_close(output, projected_output)
    contract.assert_states_close(following, projected_following)


@pytest.mark.parametrize("name", NAMES)
def test_float16_saturates_without_nan(name):
    encoder = build(name).half()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(50)
    inputs = torch.randn(5, 11, 5).half() * 20_000
    assert torch.isinf(inputs @ torch.full((5, 7), 100.0).half()).any()
    for mode in (False, True):
        outputs, state = encoder.train(mode)(inputs, contract.LENGTHS)
        assert outputs.dtype == torch.float16
        assert torch.isfinite(outputs).all()
        assert all(torch.isfinite(part).all() for part in contract.tensors_of(state))


@pytest.mark.parametrize("name", [name for name in NAMES if encoder_registry.get(name).masks_recurrence])
def test_a_mask_of_the_recurrence_hides_h_from_the_products(name):
    cell = build(name).cell
    state = random_state(build(name), 3)
    inputs = torch.randn(3, 5)
    ones, zeros = torch.ones(3, 7), torch.zeros(3, 7)
    masked, _ = cell.step_projected(cell.project(inputs), state, ones)
    torch.testing.assert_close(masked, cell.step(inputs, state)[0])
    hidden, _ = cell.step_projected(cell.project(inputs), state, zeros)
    for label, weight in cell.named_parameters():
        if label.endswith(("from_state.weight", "from_reset_state.weight", "recurrent_weight")):
            (gradient,) = torch.autograd.grad(hidden.sum(), weight, retain_graph=True, allow_unused=True)
            assert gradient is None or not gradient.any()


@pytest.mark.parametrize("name", sorted(FORGETTING))
def test_the_forget_bias_is_where_the_forget_gate_is(name):
    label, rows = FORGETTING[name]
    kept = {}
    for bias in (-30.0, 30.0):
        torch.manual_seed(0)
        encoder = create_encoder(name, 5, hidden_size=7, forget_bias=bias)
        assert encoder.cell.get_parameter(label)[rows].eq(bias).all()
        h, c = random_state(encoder, 3)
        _, (_, kept[bias]) = encoder.step(torch.zeros(3, 5), (h, 10 + c))
    assert torch.all(kept[-30.0].abs() < 2)
    assert torch.all(kept[30.0] > 5)
    assert create_encoder(name, 5, hidden_size=7).cell.get_parameter(label)[rows].abs().max() < 1


@pytest.mark.parametrize("name", NAMES)
def test_learns_to_repeat_the_first_step(name):
    torch.manual_seed(0)
    encoder = build(name, hidden_size=13)
    head = nn.Linear(13, 5)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=0.03)
    inputs = torch.eye(5)[torch.randint(5, (29, 4))]
    lengths = torch.full((29,), 4)
    targets = inputs[:, 0].argmax(1)
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(encoder(inputs, lengths)[0][:, -1]), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-10:]) < 0.3 * losses[0]


def test_time_is_linear_in_the_steps():
    encoder = build("lstm_cell", hidden_size=3)

    def seconds(steps: int) -> float:
        inputs = torch.randn(2, steps, 5, requires_grad=True)
        start = time.process_time()
        encoder(inputs, torch.tensor([steps, 7]))[0].sum().backward()
        return time.process_time() - start

    seconds(64)
    assert min(seconds(1024) for _ in range(2)) < 4 * 4 * min(seconds(256) for _ in range(3))


def test_ragged_rows_equal_the_rows_alone_whatever_the_shortest():
    encoder = build("gru_2014")
    inputs = torch.randn(3, 11, 5)
    outputs, state = encoder(inputs, torch.tensor([11, 4, 6]))
    for row, length in enumerate((11, 4, 6)):
        alone, final = encoder(inputs[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(outputs[row : row + 1, :length], alone)
        torch.testing.assert_close(state[row : row + 1], final)


class Faulty(Cell):
    """Returns what it is told to."""

    def __init__(self, input_size: int, *, output, state) -> None:
        super().__init__(input_size, 7)
        self.output, self.state = output, state

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 7)

    def step(self, inputs, state):
        return self.output, self.state


class Nameless(Cell):
    """Calls the constructor of its base without an output_size."""

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size)

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 1)

    def step(self, inputs, state):
        return inputs, state


@pytest.mark.parametrize(
    ("output", "state", "message"),
    [
        ((3, 5), (3, 7), r"Faulty.step: expected an output of shape \(3, 7\), which is \(batch, output_size\), got"),
        ((7,), (3, 7), r"Faulty.step: expected an output of shape \(3, 7\).*got \(7,\)"),
        ((3, 7), (3, 5), r"expected a next state built as the one.* of shapes \(3, 7\), got \(3, 5\)"),
    ],
)
def test_wrong_shapes_of_a_step_are_named(output, state, message):
    encoder = Unrolled(Faulty(5, output=torch.zeros(output), state=torch.zeros(state)))
    with pytest.raises(ConfigurationError, match=message):
        encoder(torch.zeros(3, 2, 5), torch.tensor([2, 1, 0]))
    with pytest.raises(ConfigurationError, match=message):
        encoder.step(torch.zeros(3, 5), encoder.initial_state(3))


@pytest.mark.parametrize("state", [{"h": torch.zeros(3, 7)}, (torch.zeros(3, 7),), "h", None])
def test_another_structure_of_the_state_is_named(state):
    encoder = Unrolled(Faulty(5, output=torch.zeros(3, 7), state=state))
    with pytest.raises(ConfigurationError, match="expected a next state built as the one that it is given"):
        encoder(torch.zeros(3, 2, 5), torch.tensor([2, 1, 0]))


def test_an_output_that_is_no_tensor_is_named():
    encoder = Unrolled(Faulty(5, output=None, state=torch.zeros(3, 7)))
    with pytest.raises(ConfigurationError, match=r"Faulty.step: expected an output of shape \(3, 7\).*got NoneType"):
        encoder(torch.zeros(3, 2, 5), torch.tensor([2, 1, 0]))


@pytest.mark.parametrize(
    ("returned", "got"), [(torch.zeros(2, 7), "a Tensor"), ((torch.zeros(2, 7),) * 3, "3 values"), (None, "a NoneType")]
)
def test_a_step_that_returns_no_pair_is_told_so(returned, got):
    class NoPair(Faulty):
        def step(self, inputs, state):
            return returned

    encoder = Unrolled(NoPair(5, output=None, state=None))
    message = rf"NoPair.step: expected the pair \(output, next state\), in this order, got {got}"
    with pytest.raises(ConfigurationError, match=message):  # a tensor of two rows would unpack into two
        encoder(torch.zeros(2, 3, 5), torch.tensor([3, 1]))
    with pytest.raises(ConfigurationError, match=message):
        encoder.step(torch.zeros(2, 5), encoder.initial_state(2))


def test_a_state_without_batch_first_is_told_so():
    class LayersFirst(Faulty):
        def initial_state(self, batch_size):
            return torch.zeros(1, batch_size, 7)

    encoder = Unrolled(LayersFirst(5, output=torch.zeros(3, 7), state=torch.zeros(1, 3, 7)))
    message = r"LayersFirst: expected each tensor of the state to have batch, 3, as its first axis, got .*\(1, 3, 7\)"
    with pytest.raises(ConfigurationError, match=message):
        encoder(torch.zeros(3, 2, 5), torch.tensor([2, 1, 0]))


def test_a_cell_that_forgets_its_output_size_is_told_so():
    with pytest.raises(ConfigurationError, match=r"Nameless'.*output_size"):
        create_encoder(f"{__name__}.Nameless", 5)


def test_a_name_cannot_be_registered_twice():
    with pytest.raises(ConfigurationError, match=r"encoder 'elman' is registered already, by .*Elman; choose another"):
        register_encoder("elman")(Faulty)


def test_both_directions_of_a_cell_have_no_step():
    encoder = create_encoder({"name": "bidirectional", "layer": {"name": "gru_2014", "hidden_size": 7}}, 5)
    with pytest.raises(ConfigurationError, match="reads the future, so it cannot go step by step"):
        encoder.step(torch.zeros(3, 5), None)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_rows_is_read(name):
    outputs, _ = build(name)(torch.zeros(0, 3, 5), torch.zeros(0, dtype=torch.int64))
    assert outputs.shape == (0, 3, 7)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_independent(name):
    encoder = build(name).eval()
    inputs = torch.randn(5, 11, 5)
    torch.testing.assert_close(copy.deepcopy(encoder)(inputs, contract.LENGTHS), encoder(inputs, contract.LENGTHS))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("option", ["hidden_size", "input_size"])
def test_sizes_must_be_positive(name, option):
    if name in (*WRAPPERS, "leaky"):
        return
    sizes = {"input_size": 5, "hidden_size": 7, option: 0}
    with pytest.raises(ConfigurationError, match=f"{option} must be a positive integer, got 0"):
        create_encoder(name, sizes["input_size"], hidden_size=sizes["hidden_size"])
