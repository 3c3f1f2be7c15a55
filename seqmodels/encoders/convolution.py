"""A convolution over time, for local patterns at the bottom of a stack."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from seqmodels.encoders.encoder import Encoder, check_batch, register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.saturation import saturate
from seqmodels.encoders.state import State
from seqmodels.errors import ConfigurationError
from seqmodels.masking import zero_beyond


@register_encoder("convolution")
class Convolution(Encoder):
    """Reads a window of steps around each step, or up to it: gelu(sum over k of W_k x_{t+k} + b).

    A recurrent layer above it in `stacked` starts from patterns (letters' n-grams, DNA motifs) instead of single steps.

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.
        kernel_size: steps in the window; odd where it reaches as far ahead as back.
        causal: whether the window ends at the step, so that nothing ahead is read.

    Raises:
        ConfigurationError: a size is not positive, or the kernel is even and not causal.

    Reference:
        LeCun et al., Gradient-based learning applied to document recognition, 1998; over time: Waibel et al., Phoneme
        recognition using time-delay neural networks, 1989.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, kernel_size: int = 5, causal: bool = False) -> None:
        check_sizes(self, hidden_size=hidden_size, kernel_size=kernel_size)
        if not causal and kernel_size % 2 == 0:
            raise ConfigurationError(f"Convolution: kernel_size must be odd unless causal: true, got {kernel_size}")
        super().__init__(input_size, hidden_size, causal=causal)
        self.kernel_size = kernel_size
        self.convolution = nn.Conv1d(input_size, hidden_size, kernel_size)

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences; see `Encoder.forward`.

        The state of a causal one is its last `kernel_size` - 1 inputs (batch, kernel_size - 1, input_size).
        """
        check_batch(self, inputs, lengths, state)
        inputs = zero_beyond(inputs, lengths)
        reach = self.kernel_size - 1
        if not self.causal:
            window = pad(inputs, (0, 0, reach // 2, reach // 2))
            return zero_beyond(self._convolve(window), lengths), None
        before = self.initial_state(inputs.size(0)) if state is None else state
        window = torch.cat([before.to(inputs.dtype), inputs], dim=1)  # (batch, reach + time, input_size)
        last = lengths.unsqueeze(1) + torch.arange(reach, device=inputs.device)  # (batch, reach)
        seen = window.gather(1, last.unsqueeze(2).expand(-1, -1, self.input_size))
        return zero_beyond(self._convolve(window), lengths), seen

    def initial_state(self, batch_size: int) -> State:
        """Returns inputs of zero for the window before the first step; see `Encoder.initial_state`."""
        if not self.causal:
            return super().initial_state(batch_size)
        return self.convolution.weight.new_zeros(batch_size, self.kernel_size - 1, self.input_size)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Encodes one step; see `Encoder.step`."""
        if not self.causal:
            return super().step(inputs, state)
        window = torch.cat([state.to(inputs.dtype), inputs.unsqueeze(1)], dim=1)
        return self._convolve(window).squeeze(1), window[:, 1:]

    def _convolve(self, window: Tensor) -> Tensor:
        """Maps (batch, steps + kernel_size - 1, input_size) to (batch, steps, hidden_size)."""
        if window.size(0) == 0 or window.size(1) < self.kernel_size:
            return window.new_zeros(window.size(0), max(0, window.size(1) - self.kernel_size + 1), self.output_size)
        return gelu(saturate(self.convolution(window.transpose(1, 2)))).transpose(1, 2)
