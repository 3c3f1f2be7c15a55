"""The quasi-recurrent neural network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, fill_padding, narrow, widen
from seqmodels.encoders.parallel.window import slide_window
from seqmodels.encoders.scans.linear_scan import linear_scan
from seqmodels.encoders.state import State


@register_encoder("qrnn")
class QRNN(ParallelRecurrence):
    """A quasi-recurrent neural network: a causal convolution makes the gates, a recurrence without weights pools.

    z = tanh(W_z * X), f = sigmoid(W_f * X), o = sigmoid(W_o * X), each a convolution over the last `kernel_size`
    steps, with a bias; c = f * c + (1 - f) * z; h = o * c. The state is the last `kernel_size` - 1 inputs and c
    (batch, hidden_size), all 0 at the start.

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.
        kernel_size: steps that each gate sees. 1, the fastest, as the authors' code has it; 2 in most of the paper's
            experiments; layers above the first need no more than 1.

    Raises:
        ConfigurationError: a size is not positive.

    Reference:
        Bradbury et al., Quasi-recurrent neural networks, 2017, section 2, "fo-pooling".
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, kernel_size: int = 1) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, kernel_size=kernel_size)
        super().__init__(input_size, hidden_size)
        self.kernel_size = kernel_size
        self.projection = nn.Linear(kernel_size * input_size, 3 * hidden_size)  # z, f, o; the oldest step first

    def initial_state(self, batch_size: int) -> State:
        """Returns inputs and c of 0 for `batch_size` rows; see `Encoder.initial_state`."""
        return self._zeros(batch_size, self.kernel_size - 1, self.input_size), self._zeros(batch_size, self.output_size)

    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        seen, cell = state
        if self.kernel_size > 1:
            window, seen = slide_window(inputs, lengths, seen)
            inputs = torch.cat([window[:, shift : shift + inputs.size(1)] for shift in range(self.kernel_size)], dim=2)
        projected = self.projection(inputs)
        candidate, forget, output = widen(projected).chunk(3, dim=2)
        f = torch.sigmoid(fill_padding(forget, padded, float("inf")))
        states, final = linear_scan(f, (1 - f) * torch.tanh(candidate), cell)
        return narrow(torch.sigmoid(output) * states, projected.dtype), (seen, final)
