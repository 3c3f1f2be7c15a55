"""Encoders one upon the other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from seqmodels.dropout import LockedDropout
from seqmodels.encoders.create import create_nested_encoder
from seqmodels.encoders.encoder import Encoder, EncoderSpec, check_batch, register_encoder
from seqmodels.encoders.options import check_dropout
from seqmodels.encoders.state import State
from seqmodels.errors import ConfigurationError
from seqmodels.masking import zero_beyond


@register_encoder("stacked")
class Stacked(Encoder):
    """Reads a sequence with the first layer, its outputs with the second, and so on; layers may be of any kinds.

    y = norm(layer(dropout(x)) + x) for each layer, with the parts that are chosen. Causal if all layers are; the state
    is the tuple of the layers' states.

    Args:
        input_size: features of each input step.
        layers: the encoders, from the first.
        residual: whether each layer's input is added to its output, through a linear projection without bias where
            the two differ in size.
        layer_norm: whether each layer's result is normalised over its features (after the residual).
        dropout: probability, in [0, 1), of zeroing a feature between two layers.
        locked_dropout: whether `dropout` zeroes the same features at all steps of a row, rather than others at each.

    Raises:
        ConfigurationError: there is no layer, or a layer's spec is wrong (names its place in the list).

    Reference:
        Residual connections between recurrent layers: Wu et al., Google's neural machine translation system, 2016, 3.1;
        locked dropout: Merity et al., Regularizing and optimizing LSTM language models, 2018, 4.2.
    """

    def __init__(
        self,
        input_size: int,
        *,
        layers: Sequence[EncoderSpec],
        residual: bool = False,
        layer_norm: bool = False,
        dropout: float = 0.0,
        locked_dropout: bool = False,
    ) -> None:
        if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
            raise ConfigurationError(f"stacked: layers must be a list of one encoder or more, got {layers!r}")
        built: list[Encoder] = []
        for place, spec in enumerate(layers):
            size = built[-1].output_size if built else input_size
            built.append(create_nested_encoder(f"stacked: layers[{place}]", spec, size))
        super().__init__(input_size, built[-1].output_size, causal=all(layer.causal for layer in built))
        self.dropout = check_dropout(self, dropout)
        self.between = LockedDropout(self.dropout) if locked_dropout else nn.Dropout(self.dropout)
        self.layers = nn.ModuleList(built)
        self.residual = residual
        self.shortcuts = nn.ModuleList(_shortcut(layer) for layer in built) if residual else None
        self.norms = nn.ModuleList(nn.LayerNorm(layer.output_size) for layer in built) if layer_norm else None

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences; see `Encoder.forward`.

        Raises:
            ConfigurationError: the shapes do not fit, or an encoder that is not causal is given a state.
        """
        check_batch(self, inputs, lengths, state)
        states = []
        # Layers bear any padding; the shortcuts do not: zero times NaN is NaN in the gradients of their weights.
        values = zero_beyond(inputs, lengths) if self.residual else inputs  # (batch, time, size of the layer below)
        for place, layer in enumerate(self.layers):
            outputs, following = layer(self._drop(place, values), lengths, None if state is None else state[place])
            states.append(following)
            values = self._join(place, values, outputs)
        # Beyond the lengths the layers' outputs are zero, and so are the shortcuts of zeros; normalised ones are not.
        return values if self.norms is None else zero_beyond(values, lengths), tuple(states)

    def initial_state(self, batch_size: int) -> State:
        """Returns the tuple of the layers' states before the first step; see `Encoder.initial_state`."""
        if not self.causal:
            return super().initial_state(batch_size)
        return tuple(layer.initial_state(batch_size) for layer in self._encoders())

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Encodes one step; see `Encoder.step`."""
        if not self.causal:
            return super().step(inputs, state)
        states = []
        values = inputs  # (batch, size of the layer below)
        for place, layer in enumerate(self._encoders()):
            outputs, following = layer.step(self._drop(place, values.unsqueeze(1)).squeeze(1), state[place])
            states.append(following)
            values = self._join(place, values, outputs)
        return values, tuple(states)

    def summary(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Returns (batch, output_size): the last layer's summary."""
        return self._encoders()[-1].summary(outputs, lengths)

    def embedding_weights(self) -> Tensor | None:
        """Returns those of the first layer, which is the one that reads embedded tokens."""
        return self._encoders()[0].embedding_weights()

    def future_reader(self) -> str:
        """Returns the first layer that reads the future, with its place; see `Encoder.future_reader`."""
        for place, layer in enumerate(self._encoders()):
            if not layer.causal:
                return f"{type(self).__name__}: layers[{place}] {layer.future_reader()}"
        return super().future_reader()

    def _encoders(self) -> list[Encoder]:
        return list(self.layers)  # type: ignore[arg-type]

    def _drop(self, place: int, values: Tensor) -> Tensor:
        return self.between(values) if place > 0 else values

    def _join(self, place: int, values: Tensor, outputs: Tensor) -> Tensor:
        if self.shortcuts is not None:
            outputs = outputs + self.shortcuts[place](values)
        return outputs if self.norms is None else self.norms[place](outputs)


def _shortcut(layer: Encoder) -> nn.Module:
    if layer.input_size == layer.output_size:
        return nn.Identity()
    return nn.Linear(layer.input_size, layer.output_size, bias=False)
