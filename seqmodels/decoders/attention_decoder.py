"""The recurrent decoder that attends to the source."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.attention import AttentionSpec, Keys, create_attention
from seqmodels.decoders.bridge import Bridge
from seqmodels.decoders.decoder import Decoded, Decoder, register_decoder
from seqmodels.decoders.sources import group_rows, keys_of_groups, keys_of_rows
from seqmodels.dropout import LockedDropout
from seqmodels.encoders.create import create_nested_encoder
from seqmodels.encoders.encoder import EncoderSpec
from seqmodels.encoders.options import check_dropout
from seqmodels.encoders.state import State, map_state
from seqmodels.errors import ConfigurationError
from seqmodels.masking import zero_beyond


@register_decoder("attention")
class AttentionDecoder(Decoder):
    """A causal layer whose output at each step looks into the source.

    h_t, s_t = layer([y_t, o_{t-1}], s_{t-1}); c_t = attention(h_t, memory); o_t = tanh(W h_t + V c_t + b), without
    o_{t-1} where there is no input feeding, and o_0 = 0. The layer begins with tanh of a projection of the encoder's
    summary (`Bridge`).

    Without input feeding the layer reads all steps of a known target in one run of its kernel, and so does the
    attention; with it, or with coverage, training goes step by step.

    Args:
        input_size: features of each embedded step of the target.
        memory_size: features of each place of the source.
        layer: any causal encoder: lstm, gru, a cell, stacked of them. Its output_size is the decoder's.
        attention: additive, dot, general, scaled_dot, multi_head, or none: the source's summary instead, at every step.
        input_feeding: whether the layer reads the last output, so that it knows where it looked before; better for
            short training, and several times slower to train.
        dropout: probability, in [0, 1), of zeroing a feature of o_t.
        locked_dropout: whether `dropout` zeroes the same features at all steps of a row, rather than others at each.

    Raises:
        ConfigurationError: an option is out of range, the sizes do not fit the attention, or the layer is not causal.

    Reference:
        Luong et al. (2015), Effective approaches to attention-based neural machine translation, sections 3.1 and 3.3;
        unlike there, the memory is that of the last layer alone, and there is a bias.
    """

    def __init__(
        self,
        input_size: int,
        memory_size: int,
        *,
        layer: EncoderSpec = "lstm",
        attention: AttentionSpec = "additive",
        input_feeding: bool = False,
        dropout: float = 0.0,
        locked_dropout: bool = False,
    ) -> None:
        built = create_nested_encoder("decoder: layer", layer, input_size)
        attending = create_attention(attention, built.output_size, memory_size)
        super().__init__(input_size, memory_size, built.output_size, attends=attending.attends)
        read = input_size + (attending.output_size if attending.joins_input else 0)
        read += built.output_size if input_feeding else 0
        self.layer = built if read == input_size else create_nested_encoder("decoder: layer", layer, read)
        if not self.layer.causal:
            raise ConfigurationError(
                f"decoder: layer {self.layer.future_reader()} reads the future, which is what a decoder writes; "
                f"choose a causal encoder, such as lstm with bidirectional: false"
            )
        self.attention = attending
        self.input_feeding = input_feeding
        self.bridge = Bridge(memory_size, self.layer)
        self.from_hidden = nn.Linear(self.output_size, self.output_size)
        self.from_context = nn.Linear(attending.output_size, self.output_size, bias=False)
        self.dropout = check_dropout(self, dropout)
        self.drop = LockedDropout(self.dropout) if locked_dropout else nn.Dropout(self.dropout)

    def begin(self, memory: Tensor, lengths: Tensor, summary: Tensor) -> tuple[State, Keys]:
        """Reads the source; see `Decoder.begin`.

        Raises:
            ConfigurationError: memory is not (batch, source_time, memory_size), or the others do not fit it.
        """
        batch, size = memory.size(0), self.memory_size
        expected = (lengths.shape == (batch,)) and summary.shape == (batch, size)
        if memory.dim() != 3 or memory.size(2) != size or not expected:
            raise ConfigurationError(
                f"decoder: expected memory (batch, source_time, {size}), lengths (batch,) and summary (batch, {size}), "
                f"got {tuple(memory.shape)}, {tuple(lengths.shape)} and {tuple(summary.shape)}"
            )
        initial = self.layer.initial_state(batch)
        state = {
            "source": torch.arange(batch, device=memory.device),
            "layer": self.bridge(summary, initial),
        }
        if self.input_feeding:
            state["output"] = self.from_hidden.weight.new_zeros(batch, self.output_size)
        if self.attends:
            precise = torch.promote_types(memory.dtype, torch.float32)
            state["attention"] = memory.new_zeros(batch, memory.size(1), dtype=precise)
        if self.attention.coverage:
            state["coverage"] = state["attention"]
        keys = self.attention.keys(memory, lengths, summary)
        if self.attention.averages_values:
            # V applied to a mean is the mean of what V is applied to: one product for all steps, and narrower values
            keys["values"] = self.from_context(keys["values"])
        return state, keys

    def forward(self, embedded: Tensor, lengths: Tensor, state: State, keys: Keys) -> Decoded:
        """Decodes whole targets; see `Decoder.forward`.

        Raises:
            ConfigurationError: the shapes do not fit.
        """
        self._check(embedded, 3, state)
        if lengths.shape != embedded.shape[:1]:
            raise ConfigurationError(
                f"decoder: expected lengths of shape ({embedded.size(0)},), one for each row, "
                f"got {tuple(lengths.shape)}"
            )
        keys = keys_of_rows(keys, state["source"])
        if embedded.size(0) == 0 or embedded.size(1) == 0:
            return self._nothing(embedded, state)
        if self.input_feeding or self.attention.coverage:
            return self._forward_by_steps(embedded, lengths, state, keys)
        hidden, layer_state = self.layer(self._join(embedded, keys), lengths, state["layer"])
        context, weights = self.attention(hidden, keys)
        outputs = self.drop(self._output(hidden, context))
        following = {**state, "layer": layer_state}
        if weights is None:
            return Decoded(zero_beyond(outputs, lengths), following, None)
        weights = zero_beyond(weights, lengths)
        following["attention"] = _after(lengths, [state["attention"], *weights.unbind(1)])
        return Decoded(zero_beyond(outputs, lengths), following, weights)

    def step(self, embedded: Tensor, state: State, keys: Keys) -> tuple[Tensor, State]:
        """Decodes one step; see `Decoder.step`. In training it drops as `forward` of one step does, each time anew.

        Raises:
            ConfigurationError: the shapes do not fit.
        """
        self._check(embedded, 2, state)
        keys = keys_of_groups(keys, state["source"])
        factors = self._factors(embedded.unsqueeze(1))
        following = self._advance(
            self._join(embedded, keys), state, keys, None if factors is None else factors.squeeze(1)
        )
        output = following["output"]
        if not self.input_feeding:
            del following["output"]
        return output, following

    def read_attention(self, state: State) -> Tensor:
        """Returns where the last step looked; see `Decoder.read_attention`."""
        if not self.attends:
            raise ConfigurationError(
                "the decoder has attention: none, so there is nothing to read; choose an attention, such as additive"
            )
        weights: Tensor = state["attention"]
        return weights

    def _forward_by_steps(self, embedded: Tensor, lengths: Tensor, state: State, keys: Keys) -> Decoded:
        # One `unbind` and not an index in each step: the gradient of an index is as large as the whole sequence.
        steps = self._join(zero_beyond(embedded, lengths), keys).unbind(1)
        factors = self._factors(embedded)
        drops = [None] * len(steps) if factors is None else factors.expand(-1, len(steps), -1).unbind(1)
        states = [state]
        for step, drop in zip(steps, drops, strict=True):
            states.append(self._advance(step, states[-1], keys, drop))
        outputs = torch.stack([each["output"] for each in states[1:]], dim=1)
        weights = None
        if self.attends:
            weights = zero_beyond(torch.stack([each["attention"] for each in states[1:]], dim=1), lengths)
        following = [{key: each[key] for key in state} for each in states]
        final = map_state(lambda *parts: _after(lengths, parts), *following)
        return Decoded(zero_beyond(outputs, lengths), final, weights)

    def _advance(self, inputs: Tensor, state: State, keys: Keys, drop: Tensor | None) -> dict[str, State]:
        """Returns the state after a step, with its output (rows, output_size) as `output`."""
        if self.input_feeding:
            inputs = torch.cat([inputs, state["output"].to(inputs.dtype)], dim=1)
        hidden, layer_state = self.layer.step(inputs, state["layer"])
        following = {"source": state["source"], "layer": layer_state}
        coverage = group_rows(state["coverage"], keys) if self.attention.coverage else None
        context, weights = self.attention(group_rows(hidden, keys), keys, coverage)
        output = self._output(hidden, context.flatten(0, 1))
        following["output"] = output if drop is None else output * drop
        if weights is not None:
            following["attention"] = weights.flatten(0, 1)
        if self.attention.coverage:
            following["coverage"] = state["coverage"] + following["attention"]
        return following

    def _output(self, hidden: Tensor, context: Tensor) -> Tensor:
        context = context if self.attention.averages_values else self.from_context(context)
        return torch.tanh(self.from_hidden(hidden) + context)

    def _join(self, embedded: Tensor, keys: Keys) -> Tensor:
        """Returns the embedded steps (rows, size) or (batch, time, size) with what joins them at each."""
        if not self.attention.joins_input:
            return embedded
        if embedded.dim() == 3:
            context, _ = self.attention(embedded, keys)
        else:
            context, _ = self.attention(group_rows(embedded, keys), keys)
            context = context.flatten(0, 1)
        return torch.cat([embedded, context.to(embedded.dtype)], dim=-1)

    def _factors(self, embedded: Tensor) -> Tensor | None:
        """Returns what dropout multiplies outputs with, (batch, time or 1, output_size); None where it does nothing."""
        if not self.training or self.dropout == 0:
            return None
        factors: Tensor = self.drop(embedded.new_ones(*embedded.shape[:2], self.output_size))
        return factors

    def _nothing(self, embedded: Tensor, state: State) -> Decoded:
        shape = embedded.shape[:2]
        weights = state["attention"].new_zeros(*shape, state["attention"].size(1)) if self.attends else None
        return Decoded(embedded.new_zeros(*shape, self.output_size), state, weights)

    def _check(self, embedded: Tensor, rank: int, state: State) -> None:
        rows = state["source"].size(0)
        if embedded.dim() != rank or embedded.size(-1) != self.input_size or embedded.size(0) != rows:
            time = "time, " if rank == 3 else ""
            raise ConfigurationError(
                f"decoder: expected embedded of shape ({rows}, {time}{self.input_size}), with the rows of the state, "
                f"got {tuple(embedded.shape)}"
            )


def _after(lengths: Tensor, steps: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Returns each row of the tensor that comes after its last real step; the first of `steps` is before any."""
    look = lengths.device.type == "cpu" and not torch.compiler.is_compiling()
    if look and bool((lengths == len(steps) - 1).all()):
        return steps[-1]
    rows = torch.arange(lengths.size(0), device=lengths.device)
    return torch.stack([step.to(steps[-1].dtype) for step in steps])[lengths, rows]
