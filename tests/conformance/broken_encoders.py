"""One encoder that keeps every promise, and others that each break one as people do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqmodels.encoders import Cell, Encoder, check_batch, where_rows
from seqmodels.masking import lengths_to_mask, zero_beyond


class Sound(Encoder):
    """h = tanh(W [x, h] + b): keeps every promise."""

    def __init__(self, input_size: int, *, hidden_size: int = 7, causal: bool = True) -> None:
        super().__init__(input_size, hidden_size, causal=causal)
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(self, batch_size):
        return self.mix.weight.new_zeros(batch_size, self.output_size)

    def advance(self, inputs, state):
        h = torch.tanh(self.mix(torch.cat([inputs, state], dim=1)))
        return h, h

    def step(self, inputs, state):
        return self.advance(inputs, state)

    def clear(self, inputs, lengths):
        return zero_beyond(inputs, lengths)

    def forward(self, inputs, lengths, state=None):
        check_batch(self, inputs, lengths, state)
        state = self.initial_state(inputs.size(0)) if state is None else state
        if inputs.size(1) == 0:
            return inputs.new_zeros(inputs.size(0), 0, self.output_size), state
        outputs = []
        masks = lengths_to_mask(lengths, inputs.size(1)).unbind(1)
        for step, mask in zip(self.clear(inputs, lengths).unbind(1), masks, strict=True):
            output, following = self.advance(step, state)
            state = where_rows(mask, following, state)
            outputs.append(output)
        return zero_beyond(torch.stack(outputs, dim=1), lengths), state


class ForgetsOutputSize(Encoder):
    def __init__(self, input_size):
        super().__init__(input_size, causal=True)

    def forward(self, inputs, lengths, state=None):
        return inputs, None


class LayersFirst(Sound):
    def forward(self, inputs, lengths, state=None):
        outputs, state = super().forward(inputs, lengths, None if state is None else state[0])
        return outputs, state.unsqueeze(0)


class ReturnsNoState(Sound):
    def forward(self, inputs, lengths, state=None):
        return super().forward(inputs, lengths, state)[0]


class WritesIntoItsInputs(Sound):
    def clear(self, inputs, lengths):
        inputs[~lengths_to_mask(lengths, inputs.size(1))] = 0
        return inputs.clone()


class WritesIntoItsState(Sound):
    def advance(self, inputs, state):
        output, following = super().advance(inputs, state)
        state.copy_(following)
        return output, state


class ReturnsTheOldState(Sound):
    def advance(self, inputs, state):
        return state, super().advance(inputs, state)[1]


class StartsAnyhow(Sound):
    def __init__(self, input_size: int) -> None:
        super().__init__(input_size)
        self.rate = nn.Parameter(torch.full((7,), float("nan")))  # as torch.empty may hold

    def advance(self, inputs, state):
        h = self.rate * super().advance(inputs, state)[0]
        return h, h


class DropsAlways(Sound):
    def advance(self, inputs, state):
        return super().advance(inputs, nn.functional.dropout(state, 0.5))


class ChecksNothing(Sound):
    def forward(self, inputs, lengths, state=None):
        lengths = lengths.new_zeros(inputs.size(0)).index_copy(0, torch.arange(lengths.size(0)), lengths)
        return super().forward(inputs[:, :, : self.input_size], lengths, state)


class ForgetsToClear(Sound):
    def forward(self, inputs, lengths, state=None):
        outputs, state = super().forward(inputs, lengths, state)
        return outputs + 1, state


class MasksOneTooMany(Sound):
    def forward(self, inputs, lengths, state=None):
        outputs, state = super().forward(inputs, lengths, state)
        return zero_beyond(outputs, lengths - 1), state


class FlipsPadding(Sound):
    """Reads from the end, padding first."""

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size, causal=False)

    initial_state = Encoder.initial_state
    step = Encoder.step

    def forward(self, inputs, lengths, state=None):
        check_batch(self, inputs, lengths, state)
        state = inputs.new_zeros(inputs.size(0), self.output_size)
        outputs = []
        for step in zero_beyond(inputs, lengths).flip(1).unbind(1):
            output, state = self.advance(step, state)
            outputs.append(output)
        if not outputs:
            return inputs.new_zeros(inputs.size(0), 0, self.output_size), None
        return zero_beyond(torch.stack(outputs[::-1], dim=1), lengths), None


class StateOfTheLastColumn(Sound):
    def forward(self, inputs, lengths, state=None):
        outputs, _ = super().forward(inputs, lengths, state)
        state = self.initial_state(inputs.size(0)) if state is None else state
        for step in self.clear(inputs, lengths).unbind(1):
            _, state = self.advance(step, state)
        return outputs, state


class MultipliesByTheMask(Sound):
    def clear(self, inputs, lengths):
        return inputs * lengths_to_mask(lengths, inputs.size(1)).unsqueeze(2).to(inputs.dtype)


class Packs(Encoder):
    """torch refuses to pack a row of length 0."""

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size, 7, causal=False)
        self.layer = nn.GRU(input_size, 7, batch_first=True)

    def forward(self, inputs, lengths, state=None):
        check_batch(self, inputs, lengths, state)
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        outputs, state = self.layer(packed)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.size(1))
        return outputs, state.transpose(0, 1)


class KnowsItsPlace(Sound):
    def forward(self, inputs, lengths, state=None):
        outputs, state = super().forward(inputs, lengths, state)
        return outputs * torch.arange(1, len(inputs) + 1, dtype=inputs.dtype).view(-1, 1, 1), state


class MixesRows(Sound):
    def __init__(self, input_size: int) -> None:
        super().__init__(input_size)
        self.norm = nn.BatchNorm1d(7, track_running_stats=False)

    def forward(self, inputs, lengths, state=None):
        outputs, state = super().forward(inputs, lengths, state)
        normal = outputs.clone()
        normal[lengths > 0] = self.norm(outputs[lengths > 0].transpose(1, 2)).transpose(1, 2)
        return zero_beyond(normal, lengths), state


class Squeezes(Sound):
    def forward(self, inputs, lengths, state=None):
        outputs, state = super().forward(inputs, lengths, state)
        return outputs.squeeze(), state


class KeepsStateOnSelf(Sound):
    kept: Tensor | None = None

    def forward(self, inputs, lengths, state=None):
        if state is None and self.kept is not None:
            state = self.kept[:1].expand(inputs.size(0), -1)
        outputs, state = super().forward(inputs, lengths, state)
        self.kept = state.detach()
        return outputs, state


class LooksAhead(Sound):
    def forward(self, inputs, lengths, state=None):
        outputs, state = super().forward(inputs, lengths, state)
        return outputs + torch.cat([outputs[:, 1:], torch.zeros_like(outputs[:, :1])], dim=1), state


class ForgetsTheState(Sound):
    def forward(self, inputs, lengths, state=None):
        return super().forward(inputs, lengths, None)


class StepsOtherwise(Sound):
    def step(self, inputs, state):
        output, state = self.advance(inputs, state)
        return 2 * output, state


class CarriesOnSelf(Sound):
    """Its state is right, and not what it goes on from."""

    def forward(self, inputs, lengths, state=None):
        if state is not None and self.kept.size(0) == state.size(0) and lengths.any():
            state = self.kept
        elif state is not None and lengths.any():
            state = self.kept[: state.size(0)]
        outputs, self.kept = super().forward(inputs, lengths, state)
        return outputs, self.kept


class StepsThoughItSeesTheFuture(Packs):
    def step(self, inputs, state):
        return inputs, state


class HasAnIdleParameter(Sound):
    def __init__(self, input_size: int) -> None:
        super().__init__(input_size)
        self.idle = nn.Parameter(torch.zeros(3))


class _WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 1.1 * gradient


class DerivesWrongly(Sound):
    def advance(self, inputs, state):
        return super().advance(_WrongBackward.apply(inputs), state)


class StartsInFloat32(Sound):
    def initial_state(self, batch_size):
        return torch.zeros(batch_size, self.output_size)


class OverflowsInFloat16(Sound):
    def advance(self, inputs, state):
        e = torch.exp(self.mix(torch.cat([inputs, state], dim=1)))
        h = e / (1 + e)
        return h, h


class RoundsToFloat32(Sound):
    def forward(self, inputs, lengths, state=None):
        outputs, state = super().forward(inputs, lengths, state)
        return outputs.float() if outputs.dtype == torch.float64 else outputs, state


class HidesAWeight(Sound):
    def __init__(self, input_size: int) -> None:
        super().__init__(input_size)
        self.scale = torch.rand(1).item()

    def advance(self, inputs, state):
        return super().advance(self.scale * inputs, state)


class HoldsALambda(Sound):
    def __init__(self, input_size: int) -> None:
        super().__init__(input_size)
        self.activation = lambda values: values


class ComparesAllPairs(Sound):
    def forward(self, inputs, lengths, state=None):
        keys = zero_beyond(inputs, lengths) @ self.mix.weight[:, : self.input_size].T
        pairs = torch.relu(keys.unsqueeze(1) - keys.unsqueeze(2))  # (batch, time, time, hidden)
        return zero_beyond(pairs.mean(2), lengths), self.initial_state(inputs.size(0))


class StepsOfAnotherSize(Cell):
    def __init__(self, input_size: int) -> None:
        super().__init__(input_size, 7)
        self.mix = nn.Linear(input_size, 3)

    def initial_state(self, batch_size):
        return self.mix.weight.new_zeros(batch_size, 3)

    def step(self, inputs, state):
        h = torch.tanh(self.mix(inputs) + state)
        return h, h


class Fails(Sound):
    def advance(self, inputs, state):
        raise ZeroDivisionError("nothing to divide by\nand a second line")
