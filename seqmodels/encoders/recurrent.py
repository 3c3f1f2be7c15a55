"""How the recurrent networks that torch has kernels for (LSTM, GRU, RNN) are run.

The parameters live in the module of `torch.nn`, so weights trained there load one to one. What differs is how rows of
unequal length are run. On CUDA they are packed. Elsewhere they are run padded, one layer and direction at a time, each
row reversed within its own length for the backward direction: packing would lose the fused LSTM kernel of CPUs, and
costs time quadratic in the number of steps. A batch that is mostly padding is run in groups of rows of like length.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqmodels.dropout import LockedDropout, drop_entries
from seqmodels.dropout import check_dropout as check_named_dropout
from seqmodels.encoders.encoder import Encoder, check_batch
from seqmodels.encoders.options import check_choice, check_dropout
from seqmodels.encoders.row_groups import index_groups, split_by_length
from seqmodels.encoders.state import State, where_rows
from seqmodels.errors import ConfigurationError
from seqmodels.masking import gather_rows, last_step, reverse_within, zero_beyond

RecurrentInit = Literal["uniform", "orthogonal"]
Weights = Sequence[Sequence[Tensor]]  # of each layer and direction: input, recurrent, their two biases
Planes = tuple[Tensor, ...]  # a state in torch's layout: (num_layers * directions, batch, hidden_size), h before c


class Recurrent(Encoder):
    """What LSTM, GRU and RNN share: the padded run, the packed run, one step, and the layout of the state.

    Args:
        network: the module of `torch.nn`, batch first, that holds the parameters.
        dropout: probability, in [0, 1), of zeroing a feature between two layers.
        locked_dropout: whether a row's features are dropped between two layers at all of its steps or none.
        recurrent_weight_dropout: probability, in [0, 1), of zeroing an entry of a hidden-to-hidden matrix.
        recurrent_init: "uniform" as torch does, or "orthogonal" for each gate's recurrent matrix.
    """

    num_parts: ClassVar[int] = 1  # tensors in a state: h, and for the LSTM c

    def __init__(
        self,
        network: nn.RNNBase,
        *,
        dropout: float,
        locked_dropout: bool,
        recurrent_weight_dropout: float,
        recurrent_init: RecurrentInit,
    ) -> None:
        directions = 2 if network.bidirectional else 1
        super().__init__(network.input_size, directions * network.hidden_size, causal=directions == 1)
        self.hidden_size = network.hidden_size
        self.num_layers = network.num_layers
        self.directions = directions
        self.dropout = check_dropout(self, dropout)
        self.locked_dropout = locked_dropout
        self.recurrent_weight_dropout = check_named_dropout(
            f"{type(self).__name__}: recurrent_weight_dropout", recurrent_weight_dropout
        )
        self.network = network
        self.between = LockedDropout(self.dropout) if locked_dropout else nn.Dropout(self.dropout)
        check_choice(self, "recurrent_init", recurrent_init, ("uniform", "orthogonal"))
        if recurrent_init == "orthogonal":
            for _, recurrent_weight, *_ in network.all_weights:
                for gate in recurrent_weight.detach().split(self.hidden_size):
                    nn.init.orthogonal_(gate)

    @property
    @abstractmethod
    def _kernel(self) -> Callable[..., tuple[Tensor, ...]]:
        """Torch's kernel: returns the outputs, then the parts of the final state."""

    def _mark_padding(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Returns the inputs of a layer with what `_hold_on_marks` needs to know padded steps by."""
        return inputs

    def _hold_on_marks(self, weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Returns weights with which the parts of the state beside h outlive padded steps."""
        return weights

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences; see `Encoder.forward`.

        The state is h (batch, num_layers * directions, hidden_size), for the LSTM the tuple (h, c) of two such: from
        the first layer to the last, and in each the forward direction before the backward one.

        Raises:
            ConfigurationError: the shapes do not fit, or a bidirectional encoder is given a state.
        """
        check_batch(self, inputs, lengths, state)
        state = self._zeros(inputs.size(0)) if state is None else state
        if inputs.size(0) == 0 or inputs.size(1) == 0:
            return inputs.new_zeros(inputs.size(0), inputs.size(1), self.output_size), state
        run = self._run_packed if inputs.is_cuda else self._run_padded
        outputs, planes = run(inputs, lengths, self._to_planes(state))
        return outputs, where_rows(lengths > 0, self._from_planes(planes), state)

    def initial_state(self, batch_size: int) -> State:
        """Returns the state of zeros for `batch_size` rows; see `Encoder.initial_state`."""
        return self._zeros(batch_size) if self.causal else super().initial_state(batch_size)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Encodes one step; see `Encoder.step`. In training it drops as `forward` of one step does, each time anew."""
        if not self.causal:
            return super().step(inputs, state)
        weights = [weight for layer in self._weights() for weight in layer]
        rate = self.dropout if self.training else 0.0
        with _weights_apart() if self._drops_weights else nullcontext():
            outputs, *final = self._call(inputs.unsqueeze(1), None, self._to_planes(state), weights, rate)
        return outputs.squeeze(1), self._from_planes(final)

    def summary(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Returns (batch, output_size): forward's output of the last real step, then backward's of the first one."""
        if self.causal or outputs.size(1) == 0:
            return last_step(outputs, lengths)
        forward, backward = outputs.split(self.hidden_size, dim=2)
        return torch.cat([last_step(forward, lengths), backward[:, 0]], dim=1)

    @property
    def _drops_weights(self) -> bool:
        return self.training and self.recurrent_weight_dropout > 0

    def _weights(self) -> Weights:
        """Returns the weights of each layer and direction, in training with a new mask over each recurrent matrix."""
        weights: Weights = self.network.all_weights
        if not self._drops_weights:
            return weights
        rate = self.recurrent_weight_dropout
        return [[by_input, drop_entries(recurrent, rate), *biases] for by_input, recurrent, *biases in weights]

    def _run_padded(self, inputs: Tensor, lengths: Tensor, planes: Planes) -> tuple[Tensor, Planes]:
        time = inputs.size(1)
        # Looking at the lengths is free where they lie in the memory of the CPU; a traced graph must hold for all.
        look = lengths.device.type == "cpu" and not torch.compiler.is_compiling()
        if look and bool((lengths == time).all()):
            return self._run_layers(inputs, lengths, planes, ragged=False)
        groups = split_by_length(lengths, time) if look else []
        if len(groups) > 1:
            return self._run_in_groups(inputs, lengths, planes, groups)
        outputs, final = self._run_layers(zero_beyond(inputs, lengths), lengths, planes, ragged=True)
        return zero_beyond(outputs, lengths), final

    def _run_in_groups(
        self, inputs: Tensor, lengths: Tensor, planes: Planes, groups: list[tuple[Tensor, int]]
    ) -> tuple[Tensor, Planes]:
        """Runs groups of rows, each for its own number of steps."""
        index, inverse = index_groups(groups, lengths, inputs.size(1))
        compact = gather_rows(inputs.flatten(0, 1), index, inverse)  # (steps of all groups, input_size)
        weights = self._weights()  # one mask for all groups
        outputs, finals = [], []
        parts = compact.split([rows.size(0) * steps for rows, steps in groups])
        for (rows, steps), part in zip(groups, parts, strict=True):
            initial = tuple(plane.index_select(1, rows) for plane in planes)
            part = part.view(-1, steps, self.input_size)
            values, final = self._run_layers(part, lengths[rows], initial, ragged=True, weights=weights)
            outputs.append(values.flatten(0, 1))
            finals.append(final)
        whole = gather_rows(torch.cat(outputs), inverse, index).view(*inputs.shape[:2], self.output_size)
        restore = torch.cat([rows for rows, _ in groups]).argsort()
        return whole, tuple(torch.cat(parts, dim=1).index_select(1, restore) for parts in zip(*finals, strict=True))

    def _run_layers(
        self, inputs: Tensor, lengths: Tensor, planes: Planes, *, ragged: bool, weights: Weights | None = None
    ) -> tuple[Tensor, Planes]:
        weights = self._weights() if weights is None else weights
        outputs = inputs  # (batch, time, size)
        finals = []
        for layer in range(self.num_layers):
            if layer > 0:
                outputs = self.between(outputs)
            if ragged:
                outputs = self._mark_padding(outputs, lengths)
            streams = []
            for direction in range(self.directions):
                index = layer * self.directions + direction
                initial = tuple(plane[index : index + 1] for plane in planes)
                stream = reverse_within(outputs, lengths) if direction == 1 else outputs
                stream, final = self._run_direction(stream, lengths, initial, weights[index], ragged)
                streams.append(reverse_within(stream, lengths) if direction == 1 else stream)
                finals.append(final)
            outputs = torch.cat(streams, dim=2) if len(streams) > 1 else streams[0]
        return outputs, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def _run_direction(
        self, inputs: Tensor, lengths: Tensor, initial: Planes, weights: Sequence[Tensor], ragged: bool
    ) -> tuple[Tensor, Planes]:
        if not ragged:
            outputs, *final = self._call(inputs, None, initial, weights)
            return outputs, tuple(final)
        outputs, _, *others = self._call(inputs, None, initial, self._hold_on_marks(weights))
        return outputs, (last_step(outputs, lengths).unsqueeze(0), *others)

    def _run_packed(self, inputs: Tensor, lengths: Tensor, planes: Planes) -> tuple[Tensor, Planes]:
        # A packed row has one step at least; the caller clears what comes of the rows that have none.
        inputs = zero_beyond(inputs, lengths)
        packed = pack_padded_sequence(inputs, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        data, batch_sizes, order, restore = cast("tuple[Tensor, Tensor, Tensor, Tensor]", packed)
        planes = tuple(plane.index_select(1, order) for plane in planes)
        rate = self.dropout if self.training and self.num_layers > 1 else 0.0
        # cuDNN's own dropout between layers is neither reproducible nor locked, and weights apart are copied anyway.
        by_layer = rate > 0 and (self.locked_dropout or torch.are_deterministic_algorithms_enabled())
        if by_layer or self._drops_weights:
            data, planes = self._run_packed_by_layer(data, batch_sizes, planes)
        else:
            weights = [weight for layer in self._weights() for weight in layer]
            data, *final = self._call(data, batch_sizes, planes, weights, rate)
            planes = tuple(final)
        padded = PackedSequence(data, batch_sizes, order, restore)
        outputs, _ = pad_packed_sequence(padded, batch_first=True, total_length=inputs.size(1))
        return zero_beyond(outputs, lengths), tuple(plane.index_select(1, restore) for plane in planes)

    def _run_packed_by_layer(self, data: Tensor, batch_sizes: Tensor, planes: Planes) -> tuple[Tensor, Planes]:
        """Runs packed steps (steps, size) layer by layer, with our own dropout between them."""
        weights = self._weights()
        finals = []
        for layer in range(self.num_layers):
            if layer > 0:
                data = self._drop_packed(data, batch_sizes)
            rows = slice(layer * self.directions, (layer + 1) * self.directions)
            flat = [each for direction in weights[rows] for each in direction]
            with _weights_apart():
                data, *final = self._call(data, batch_sizes, tuple(plane[rows] for plane in planes), flat)
            finals.append(final)
        return data, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def _drop_packed(self, data: Tensor, batch_sizes: Tensor) -> Tensor:
        """Drops features of packed steps (steps, size), if locked the same ones at every step of a row."""
        if not self.locked_dropout:
            return dropout(data, self.dropout, self.training)
        factors: Tensor = self.between(data.new_ones(int(batch_sizes[0]), 1, data.size(1)))  # (batch, 1, size)
        first = batch_sizes.cumsum(0) - batch_sizes  # where each step begins among the packed ones
        row = torch.arange(data.size(0)) - first.repeat_interleave(batch_sizes)  # (steps,)
        return data * factors.squeeze(1).index_select(0, row.to(data.device))

    def _call(
        self,
        inputs: Tensor,
        batch_sizes: Tensor | None,
        planes: Planes,
        weights: Sequence[Tensor],
        dropout: float = 0.0,
    ) -> tuple[Tensor, ...]:
        """Runs the kernel over as many layers and directions as there are planes.

        Inputs are (batch, time, size), or packed (steps, size) with `batch_sizes`. Returns outputs and final planes.
        """
        planes = tuple(plane.to(inputs.dtype).contiguous() for plane in planes)
        state = planes if self.num_parts > 1 else planes[0]
        # A padded run of the backward direction is a forward run of reversed rows: two directions only if packed.
        directions = 1 if batch_sizes is None else self.directions
        # The backward pass needs the workspace that kernels keep in training mode only.
        train = self.training or torch.is_grad_enabled()
        options = (True, planes[0].size(0) // directions, dropout, train, directions == 2)
        if batch_sizes is None:
            return self._kernel(inputs, state, list(weights), *options, True)
        return self._kernel(inputs, batch_sizes, state, list(weights), *options)

    def _zeros(self, batch_size: int) -> State:
        weight = self.network.all_weights[0][0]
        parts = [
            weight.new_zeros(batch_size, self.num_layers * self.directions, self.hidden_size)
            for _ in range(self.num_parts)
        ]
        return tuple(parts) if self.num_parts > 1 else parts[0]

    def _to_planes(self, state: State) -> Planes:
        parts = state if isinstance(state, tuple | list) else (state,)
        shape = (self.num_layers * self.directions, self.hidden_size)
        if len(parts) != self.num_parts or any(tuple(part.shape[1:]) != shape for part in parts):
            found = ", ".join(str(tuple(part.shape)) for part in parts)
            raise ConfigurationError(
                f"{type(self).__name__}: expected a state of {self.num_parts} tensor(s) (batch, {shape[0]}, {shape[1]})"
                f", got {found}; take it from `initial_state`, or from `forward` or `step` of the same encoder"
            )
        return tuple(part.transpose(0, 1) for part in parts)

    def _from_planes(self, planes: Sequence[Tensor]) -> State:
        parts = tuple(plane.transpose(0, 1) for plane in planes)
        return parts if self.num_parts > 1 else parts[0]


@contextmanager
def _weights_apart() -> Iterator[None]:
    """Silences cuDNN's warning that it copies weights together which lie apart in memory, where they have to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        yield
