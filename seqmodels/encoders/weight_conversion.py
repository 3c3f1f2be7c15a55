"""Weights of the cells `lstm_cell` and `gru_cell` from the networks of `torch.nn`, and back.

The encoders `lstm` and `gru` hold such a network as `network`, so these convert between kernel and cell, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.encoders.cells.gru_cell import GRUCell
from seqmodels.encoders.cells.lstm_cell import LSTMCell
from seqmodels.errors import ConfigurationError


def lstm_cell_from_torch(network: nn.LSTM, *, layer: int = 0, reverse: bool = False) -> LSTMCell:
    """Returns the cell that computes what a layer of the network does; torch's two biases are summed.

    Args:
        network: any `torch.nn.LSTM` without projection; it keeps its weights, the cell gets copies.
        layer: which one, from 0.
        reverse: whether its backward direction is meant.

    Raises:
        ConfigurationError: there is no such layer or direction, or the network projects h.

    Example:
        >>> from seqmodels.encoders import Unrolled, create_encoder
        >>> encoder = create_encoder("lstm", 5, hidden_size=7)
        >>> same = Unrolled(lstm_cell_from_torch(encoder.network))
    """
    if network.proj_size:
        raise ConfigurationError(
            f"lstm_cell_from_torch: expected an LSTM without projection of h, got proj_size={network.proj_size}; "
            f"there is no such cell"
        )
    input_weight, state_weight, input_bias, state_bias = _weights_of(network, layer, reverse)
    cell = LSTMCell(input_weight.size(1), hidden_size=network.hidden_size).to(input_weight)
    _fill(cell.from_input.weight, input_weight)
    _fill(cell.from_input.bias, input_bias + state_bias)
    _fill(cell.from_state.weight, state_weight)
    return cell


def lstm_cell_to_torch(cell: LSTMCell) -> nn.LSTM:
    """Returns the network of one layer, batch first, that computes what the cell does; its recurrent bias is 0."""
    network = nn.LSTM(cell.input_size, cell.hidden_size, batch_first=True).to(cell.from_input.weight)
    input_weight, state_weight, input_bias, state_bias = _weights_of(network, 0, False)
    _fill(input_weight, cell.from_input.weight)
    _fill(state_weight, cell.from_state.weight)
    _fill(input_bias, cell.from_input.bias)
    _fill(state_bias, torch.zeros_like(state_bias))
    return network


def gru_cell_from_torch(network: nn.GRU, *, layer: int = 0, reverse: bool = False) -> GRUCell:
    """Returns the cell that computes what a layer of the network does; the two biases of r and of z are summed.

    Args:
        network: any `torch.nn.GRU`; it keeps its weights, the cell gets copies.
        layer: which one, from 0.
        reverse: whether its backward direction is meant.

    Raises:
        ConfigurationError: there is no such layer or direction.
    """
    input_weight, state_weight, input_bias, state_bias = _weights_of(network, layer, reverse)
    hidden_size = network.hidden_size
    cell = GRUCell(input_weight.size(1), hidden_size=hidden_size).to(input_weight)
    _fill(cell.from_input.weight, input_weight)
    _fill(cell.from_input.bias, input_bias)
    cell.from_input.bias.detach()[: 2 * hidden_size] += state_bias[: 2 * hidden_size]
    _fill(cell.from_state.weight, state_weight)
    _fill(cell.reset_bias, state_bias[2 * hidden_size :])
    return cell


def gru_cell_to_torch(cell: GRUCell) -> nn.GRU:
    """Returns the network of one layer, batch first, that computes what the cell does; r and z have one bias of 0."""
    network = nn.GRU(cell.input_size, cell.hidden_size, batch_first=True).to(cell.from_input.weight)
    input_weight, state_weight, input_bias, state_bias = _weights_of(network, 0, False)
    _fill(input_weight, cell.from_input.weight)
    _fill(state_weight, cell.from_state.weight)
    _fill(input_bias, cell.from_input.bias)
    _fill(state_bias, torch.cat([state_bias.new_zeros(2 * cell.hidden_size), cell.reset_bias.detach()]))
    return network


def _weights_of(network: nn.RNNBase, layer: int, reverse: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns a layer's input and recurrent weights and their biases, which share its memory; zeros for no bias."""
    directions = 2 if network.bidirectional else 1
    if not 0 <= layer < network.num_layers or (reverse and directions == 1):
        raise ConfigurationError(
            f"{type(network).__name__}: expected a layer from 0 to {network.num_layers - 1} in {directions} "
            f"direction(s), got layer={layer}, reverse={reverse}"
        )
    weights = [weight.detach() for weight in network.all_weights[layer * directions + int(reverse)]]
    if not network.bias:
        weights += [weights[0].new_zeros(weights[0].size(0)) for _ in range(2)]
    input_weight, state_weight, input_bias, state_bias = weights
    return input_weight, state_weight, input_bias, state_bias


def _fill(parameter: Tensor, values: Tensor) -> None:
    parameter.detach().copy_(values.detach())
