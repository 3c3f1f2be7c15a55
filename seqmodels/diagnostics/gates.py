"""The forget gates of gated encoders: what they do on given inputs, and their biases.

What keeps the old state in h = f * h + ... is called f here, whatever the encoder's paper calls it. A table says where
each encoder has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import linear, logsigmoid, softplus

from seqmodels.encoders import Encoder, EncoderSpec, encoder_registry
from seqmodels.errors import ConfigurationError
from seqmodels.masking import reverse_within

Biases = list[
    tuple[Tensor, int]
]  # slices of the parameters, with the sign of their effect on f; 0: one that adds to it


@dataclass(frozen=True)
class Gates:
    """Where an encoder has its forget gates; the encoder is typed `Any`, for each function knows its own.

    Attributes:
        log_forget: maps the encoder, its inputs (batch, time, input_size) and lengths to ln f (batch, time, hidden) of
            each of its layers and directions.
        biases: returns the slices (hidden,) of the biases of each layer and direction that set f.
    """

    log_forget: Callable[[Any, Tensor, Tensor], list[Tensor]]
    biases: Callable[[Any], list[Biases]]


@dataclass(frozen=True)
class GatedLayer:
    """A gated encoder within another, or by itself.

    Attributes:
        name: its place and its registered name.
        encoder: the encoder.
        gates: where it has its gates.
    """

    name: str
    encoder: Encoder
    gates: Gates


def gated_layers(spec: EncoderSpec, encoder: Encoder) -> list[GatedLayer]:
    """Returns the gated encoders that an encoder consists of: itself, or those among the layers of a stack.

    Args:
        spec: what the encoder was built from.
        encoder: the encoder.
    """
    name, arguments = encoder_registry.check(spec)
    name = encoder_registry.name_of(encoder_registry.get(name))
    if name == "stacked":
        layers: Any = encoder.layers
        return [
            GatedLayer(f"layer {place + 1} {found.name}", found.encoder, found.gates)
            for place, (inner, layer) in enumerate(zip(arguments["layers"], layers, strict=True))
            for found in gated_layers(inner, layer)
        ]
    return [GatedLayer(name, encoder, GATES[name])] if name in GATES else []


def check_gated(spec: EncoderSpec, encoder: Encoder) -> list[GatedLayer]:
    """Returns `gated_layers`, if there is any.

    Raises:
        ConfigurationError: there is none; lists the encoders that have forget gates known here.
    """
    layers = gated_layers(spec, encoder)
    if not layers:
        raise ConfigurationError(
            f"the forget gates of encoder '{encoder_registry.check(spec)[0]}' are not known; "
            f"known: {', '.join(sorted(GATES))}, and stacks of them"
        )
    return layers


def initialize_chrono(spec: EncoderSpec, encoder: Encoder, longest: int, generator: Generator) -> bool:
    """Sets the gates' biases so that memories of the units last from 1 to about `longest` steps, evenly spread.

    b_f = ln u with u uniform in [1, longest - 1], and b_i = -b_f where there is a gate for what is written.

    Args:
        spec: what the encoder was built from.
        encoder: the encoder; one without forget gates known here stays as it is.
        longest: the longest dependency to be expected, in steps, 3 at the least.
        generator: makes u.

    Returns:
        Whether there were gates to set.

    Raises:
        ConfigurationError: `longest` is below 3.

    Reference:
        Tallec and Ollivier, Can recurrent neural networks warp time?, 2018, section 2.
    """
    if longest < 3:
        raise ConfigurationError(f"chrono initialisation needs dependencies of at least 3 steps, got {longest}")
    layers = gated_layers(spec, encoder)
    with torch.no_grad():
        for layer in layers:
            for biases in layer.gates.biases(layer.encoder):
                drawn = torch.rand(biases[0][0].shape, generator=generator) * (longest - 2) + 1
                for values, sign in biases:
                    values.copy_(sign * drawn.log())
    return bool(layers)


# Where each encoder has its gates


def _before(outputs: Tensor) -> Tensor:
    """Returns h before each step, for outputs h (batch, time, hidden) after it."""
    return torch.cat([torch.zeros_like(outputs[:, :1]), outputs[:, :-1]], dim=1)


def _of_kernel(kernel: Callable[..., Any], parts: int, gate: int) -> Callable[[Any, Tensor, Tensor], list[Tensor]]:
    """Returns ln f of a network of torch's: its kernel, the tensors in its state, which gate f is."""

    def log_forget(encoder: Any, inputs: Tensor, lengths: Tensor) -> list[Tensor]:
        found, values, size = [], inputs, encoder.hidden_size
        for layer in range(encoder.num_layers):
            streams = []
            for direction in range(encoder.directions):
                weights = encoder.network.all_weights[layer * encoder.directions + direction]
                read = reverse_within(values, lengths) if direction else values
                zeros = read.new_zeros(1, read.size(0), size)
                state = (zeros, zeros) if parts > 1 else zeros
                outputs = kernel(read, state, list(weights), True, 1, 0.0, False, False, True)[0]
                rows = slice(gate * size, (gate + 1) * size)
                by_input, by_state, input_bias, state_bias = (weight[rows] for weight in weights)
                sums = linear(read, by_input, input_bias) + linear(_before(outputs), by_state, state_bias)
                forget = logsigmoid(sums)
                found.append(reverse_within(forget, lengths) if direction else forget)
                streams.append(reverse_within(outputs, lengths) if direction else outputs)
            values = torch.cat(streams, dim=2)
        return found

    return log_forget


def _kernel_biases(*signed: tuple[int, int]) -> Callable[[Any], list[Biases]]:
    """Returns the biases of a network of torch's; `signed` are its gates with their signs."""

    def biases(encoder: Any) -> list[Biases]:
        found = []
        for *_, input_bias, state_bias in encoder.network.all_weights:
            by_input, by_state = input_bias.split(encoder.hidden_size), state_bias.split(encoder.hidden_size)
            found.append(
                [(by_input[gate], sign) for gate, sign in signed] + [(by_state[gate], 0) for gate, _ in signed]
            )
        return found

    return biases


def _of_cell(gate: int, sign: int = 1) -> Callable[[Any, Tensor, Tensor], list[Tensor]]:
    """Returns ln f of a cell whose output is h: which of its gates f is, with -1 where that is 1 - f."""

    def log_forget(encoder: Any, inputs: Tensor, lengths: Tensor) -> list[Tensor]:
        cell, size = encoder.cell, encoder.cell.hidden_size
        rows = slice(gate * size, (gate + 1) * size)
        outputs, _ = encoder(inputs, lengths)
        sums = cell.project(inputs)[..., rows] + linear(_before(outputs), cell.from_state.weight[rows])
        return [logsigmoid(sign * sums)]

    return log_forget


def _cell_biases(*signed: tuple[int, int]) -> Callable[[Any], list[Biases]]:
    def biases(encoder: Any) -> list[Biases]:
        gates = encoder.cell.from_input.bias.split(encoder.cell.hidden_size)
        return [[(gates[gate], sign) for gate, sign in signed]]

    return biases


def _projection_biases(*signed: tuple[int, int]) -> Callable[[Any], list[Biases]]:
    def biases(encoder: Any) -> list[Biases]:
        gates = encoder.projection.bias.split(encoder.output_size)
        return [[(gates[gate], sign) for gate, sign in signed]]

    return biases


def _of_mingru(encoder: Any, inputs: Tensor, lengths: Tensor) -> list[Tensor]:
    return [logsigmoid(-encoder.projection(inputs).chunk(2, dim=2)[0])]


def _of_minlstm(encoder: Any, inputs: Tensor, lengths: Tensor) -> list[Tensor]:
    forget, take, _ = encoder.projection(inputs).chunk(3, dim=2)
    return [logsigmoid(softplus(-take) - softplus(-forget))]


GATES: dict[str, Gates] = {
    "lstm": Gates(_of_kernel(torch.lstm, 2, 1), _kernel_biases((1, 1), (0, -1))),
    "gru": Gates(_of_kernel(torch.gru, 1, 1), _kernel_biases((1, 1))),
    "lstm_cell": Gates(_of_cell(1), _cell_biases((1, 1), (0, -1))),
    "coupled_lstm": Gates(_of_cell(0), _cell_biases((0, 1))),
    "gru_cell": Gates(_of_cell(1), _cell_biases((1, 1))),
    "gru_2014": Gates(_of_cell(1, -1), _cell_biases((1, -1))),
    "mingru": Gates(_of_mingru, _projection_biases((0, -1))),
    "minlstm": Gates(_of_minlstm, _projection_biases((0, 1), (1, -1))),
}


def forget_activations(
    spec: EncoderSpec, encoder: Encoder, inputs: Tensor, lengths: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Runs an encoder and returns ln f (batch, time, hidden) with the lengths, for each layer and direction by name.

    Args:
        spec: what the encoder was built from.
        encoder: the encoder, in evaluation mode.
        inputs: (batch, time, input_size).
        lengths: (batch,) int64.

    Raises:
        ConfigurationError: no forget gates of the encoder are known.
    """
    layers = check_gated(spec, encoder)
    read: dict[int, tuple[Tensor, Tensor]] = {}
    hooks = [layer.encoder.register_forward_pre_hook(_recorder(read, place)) for place, layer in enumerate(layers)]
    try:
        with torch.no_grad():
            encoder(inputs, lengths)
    finally:
        for hook in hooks:
            hook.remove()
    found = {}
    for place, layer in enumerate(layers):
        with torch.no_grad():
            parts = layer.gates.log_forget(layer.encoder, *read[place])
        for number, forget in enumerate(parts):
            name = layer.name if len(parts) == 1 else f"{layer.name}, part {number + 1}"
            found[name] = (forget, read[place][1])
    return found


def _recorder(read: dict[int, tuple[Tensor, Tensor]], place: int) -> Callable[..., None]:
    def record(module: object, arguments: Sequence[Tensor]) -> None:
        read[place] = (arguments[0], arguments[1])

    return record
