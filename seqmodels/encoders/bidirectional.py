"""Any causal encoder in both directions."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.encoders.create import create_nested_encoder
from seqmodels.encoders.encoder import Encoder, EncoderSpec, check_batch, register_encoder
from seqmodels.encoders.state import State
from seqmodels.errors import ConfigurationError
from seqmodels.masking import reverse_within, zero_beyond


@register_encoder("bidirectional")
class Bidirectional(Encoder):
    """Reads every row from its start with one encoder, from its end with another, and joins their outputs.

    The state is the tuple of the two encoders' states.

    Args:
        input_size: features of each input step.
        layer: the causal encoder, built twice, with weights of its own in each direction.

    Raises:
        ConfigurationError: the layer is not causal, or its spec is wrong.

    Reference:
        Schuster and Paliwal, Bidirectional recurrent neural networks, 1997.
    """

    def __init__(self, input_size: int, *, layer: EncoderSpec) -> None:
        ahead = create_nested_encoder("bidirectional: layer", layer, input_size)
        back = create_nested_encoder("bidirectional: layer", layer, input_size)
        if not ahead.causal:
            raise ConfigurationError(
                f"bidirectional: layer must be causal, got {layer!r}, which reads both directions already; "
                f"name a layer of one direction, or use that encoder alone"
            )
        super().__init__(input_size, ahead.output_size + back.output_size, causal=False)
        self.ahead = ahead
        self.back = back

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences; see `Encoder.forward`.

        Raises:
            ConfigurationError: the shapes do not fit, or a state is given.
        """
        check_batch(self, inputs, lengths, state)
        inputs = zero_beyond(inputs, lengths)
        ahead, ahead_state = self.ahead(inputs, lengths)
        back, back_state = self.back(reverse_within(inputs, lengths), lengths)
        return torch.cat([ahead, reverse_within(back, lengths)], dim=2), (ahead_state, back_state)

    def summary(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Returns (batch, output_size): each direction's output after the last step that it reads."""
        ahead, back = outputs.split([self.ahead.output_size, self.back.output_size], dim=2)
        parts = [self.ahead.summary(ahead, lengths), self.back.summary(reverse_within(back, lengths), lengths)]
        return torch.cat(parts, dim=1)
