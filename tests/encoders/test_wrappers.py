"""Bidirectional, Stacked and Unrolled against what they are made of; the way from a spec to an encoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqmodels.encoders import Cell, Encoder, Unrolled, create_encoder, encoder_registry
from seqmodels.errors import ConfigurationError

LENGTHS = torch.tensor([11, 3, 0, 8, 1])


class TorchCell(Cell):
    """Torch's own LSTM cell."""

    def __init__(self, input_size: int, *, hidden_size: int = 7) -> None:
        super().__init__(input_size, hidden_size)
        self.cell = nn.LSTMCell(input_size, hidden_size)

    def initial_state(self, batch_size):
        return {"h": torch.zeros(batch_size, self.output_size), "c": torch.zeros(batch_size, self.output_size)}

    def step(self, inputs, state):
        h, c = self.cell(inputs, (state["h"], state["c"]))
        return h, {"h": h, "c": c}


class Forgetful(Cell):
    """Does not call the constructor of its base."""

    def __init__(self, input_size: int) -> None:
        nn.Module.__init__(self)

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 1)

    def step(self, inputs, state):
        return inputs, state


class Stubborn(Forgetful):
    """Publishes a size that it was not given."""

    def __init__(self, input_size: int) -> None:
        Cell.__init__(self, 3, 3)


def test_unrolled_cell_equals_the_kernel():
    kernel = create_encoder("lstm", 5, hidden_size=7)
    unrolled = Unrolled(TorchCell(5))
    weights = {name.removesuffix("_l0"): weight for name, weight in kernel.network.state_dict().items()}
    unrolled.cell.cell.load_state_dict(weights)
    inputs = torch.randn(5, 11, 5)
    outputs, state = unrolled(inputs, LENGTHS)
    wanted, (h, c) = kernel(inputs, LENGTHS)
    torch.testing.assert_close(outputs, wanted)
    torch.testing.assert_close(state, {"h": h.squeeze(1), "c": c.squeeze(1)})


def test_unrolling_is_linear_in_time():
    unrolled = Unrolled(TorchCell(5))
    inputs = torch.randn(3, 13, 5, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        unrolled(inputs, torch.tensor([13, 2, 3]))[0].sum().backward()
    names = {event.key for event in profile.key_averages()}
    assert not {"aten::select_backward", "aten::slice_backward"} & names


def test_bidirectional_equals_torch():
    encoder = create_encoder({"name": "bidirectional", "layer": {"name": "gru", "hidden_size": 7}}, 5)
    built_in = create_encoder("gru", 5, hidden_size=7, bidirectional=True)
    weights = dict(encoder.ahead.network.state_dict())
    weights |= {f"{name}_reverse": weight for name, weight in encoder.back.network.state_dict().items()}
    built_in.network.load_state_dict(weights)
    inputs = torch.randn(5, 11, 5)
    outputs, (ahead, back) = encoder(inputs, LENGTHS)
    wanted, state = built_in(inputs, LENGTHS)
    torch.testing.assert_close(outputs, wanted)
    torch.testing.assert_close(torch.cat([ahead, back], dim=1), state)
    torch.testing.assert_close(encoder.summary(outputs, LENGTHS), built_in.summary(wanted, LENGTHS))


def test_a_stack_of_single_layers_equals_the_layers_of_one_network():
    layer = {"name": "lstm", "hidden_size": 7}
    encoder = create_encoder({"name": "stacked", "layers": [layer, layer]}, 5)
    built_in = create_encoder("lstm", 5, hidden_size=7, num_layers=2)
    weights = dict(encoder.layers[0].network.state_dict())
    weights |= {name.replace("_l0", "_l1"): weight for name, weight in encoder.layers[1].network.state_dict().items()}
    built_in.network.load_state_dict(weights)
    inputs = torch.randn(5, 11, 5)
    torch.testing.assert_close(encoder(inputs, LENGTHS)[0], built_in(inputs, LENGTHS)[0])


def test_residuals_add_the_input_of_each_layer():
    spec = {"name": "stacked", "layers": [{"name": "rnn", "hidden_size": 7}, {"name": "rnn", "hidden_size": 7}]}
    encoder = create_encoder({**spec, "residual": True}, 7)
    inputs = torch.randn(5, 11, 7)
    first, _ = encoder.layers[0](inputs, LENGTHS)
    second, _ = encoder.layers[1](first + inputs, LENGTHS)
    mask = torch.arange(11) < LENGTHS.unsqueeze(1)
    wanted = (second + first + inputs) * mask.unsqueeze(2)
    torch.testing.assert_close(encoder(inputs, LENGTHS)[0], wanted)
    projected = create_encoder({**spec, "residual": True}, 5)
    assert projected.shortcuts[0].weight.shape == (7, 5)


def test_a_stack_publishes_what_its_layers_make_of_it():
    both = {"name": "lstm", "hidden_size": 3, "bidirectional": True}
    assert create_encoder({"name": "stacked", "layers": ["lstm", "gru"]}, 5).causal
    mixed = create_encoder({"name": "stacked", "layers": ["lstm", both]}, 5, dropout=0.5)
    assert (mixed.causal, mixed.output_size) == (False, 6)
    inputs = torch.randn(5, 11, 5)
    assert not torch.equal(mixed(inputs, LENGTHS)[0], mixed(inputs, LENGTHS)[0])
    with pytest.raises(ConfigurationError, match=r"^Stacked: layers\[1\] LSTM reads the future"):
        mixed.initial_state(3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("BiLTSM", "unknown encoder 'BiLTSM'; known: .*gru, .*did you mean 'lstm'"),
        ({"name": "lstm", "hiden_size": 7}, "encoder 'lstm' has no argument 'hiden_size'.*did you mean 'hidden_size'"),
        ({"name": "lstm", "bidirectional": "yess"}, "encoder 'lstm': bidirectional must be true or false, got 'yess'"),
        ({"name": "lstm", "dropout": "0.5"}, "encoder 'lstm': dropout must be a number, got '0.5'"),
        ({"hidden_size": 7}, "expected a name or a mapping with the key `name` for the encoder"),
        ("bidirectional", "encoder 'bidirectional' needs the argument 'layer'"),
        ({"name": "bidirectional", "layer": "grv"}, "bidirectional: layer: unknown encoder 'grv'.*did you mean 'gru'"),
        (
            {"name": "bidirectional", "layer": {"name": "lstm", "bidirectional": True}},
            "layer must be causal, got .* reads both directions already",
        ),
        ({"name": "stacked", "layers": []}, "stacked: layers must be a list of one encoder or more, got \\[\\]"),
        ({"name": "stacked", "layers": "lstm"}, "encoder 'stacked': layers must be a list, got 'lstm'"),
        (
            {"name": "stacked", "layers": ["lstm", {"name": "gru", "dropout": 2}]},
            r"stacked: layers\[1\]: GRU: dropout must be in \[0, 1\), got 2",
        ),
        ({"name": "stacked", "layers": ["gru"], "dropout": -1}, r"Stacked: dropout must be in \[0, 1\), got -1"),
    ],
)
def test_wrong_specs_are_refused(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        create_encoder(spec, 5)


def test_wrong_input_sizes_are_refused():
    with pytest.raises(ConfigurationError, match="input_size must be a positive integer, got -1"):
        create_encoder("lstm", -1)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (Forgetful, "does not publish `input_size` .int., got None; its constructor must pass it to super"),
        (Stubborn, "was given input_size 5 and publishes 3"),
    ],
)
def test_an_encoder_that_forgets_its_sizes_is_told_so(cell, message):
    with pytest.raises(ConfigurationError, match=message):
        create_encoder(f"{__name__}.{cell.__name__}", 5)


def test_arguments_win_over_the_spec_and_leave_it_alone():
    spec = {"name": "lstm", "hidden_size": 3}
    assert create_encoder(spec, 5, hidden_size=7).output_size == 7
    assert spec == {"name": "lstm", "hidden_size": 3}


def test_a_registered_cell_is_unrolled():
    encoder = create_encoder(f"{__name__}.TorchCell", 5, hidden_size=3)
    assert isinstance(encoder, Unrolled)
    assert (encoder.input_size, encoder.output_size, encoder.causal) == (5, 3, True)


def test_a_causal_encoder_without_step_says_so():
    class Whole(Encoder):
        def forward(self, inputs, lengths, state=None):
            return inputs, None

    encoder = Whole(5, 5, causal=True)
    for call in (lambda: encoder.step(torch.zeros(3, 5), None), lambda: encoder.initial_state(3)):
        with pytest.raises(ConfigurationError, match="Whole defines no `step`"):
            call()


def test_other_classes_cannot_be_registered():
    with pytest.raises(ConfigurationError, match="not a subclass of Encoder or Cell"):
        encoder_registry.register("linear")(nn.Linear)
