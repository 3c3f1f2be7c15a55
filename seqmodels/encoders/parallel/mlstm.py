"""The matrix LSTM of xLSTM."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.utils.checkpoint import checkpoint

from seqmodels.encoders.encoder import register_encoder
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.parallel.heads import check_heads, forget_biases
from seqmodels.encoders.parallel.recurrence import ParallelRecurrence, fill_padding, narrow, widen
from seqmodels.encoders.state import State

_CHUNK = 64  # steps computed at once; the work within a chunk grows with the square of it
_SMALLEST_SCALE = -80.0  # of m in exp(-m), which would overflow below it in float32


@register_encoder("mlstm")
class MLSTM(ParallelRecurrence):
    """The matrix LSTM of xLSTM: a matrix memory of keys and values with exponential gates, read chunk by chunk.

    In each head, q = W_q x + b_q, k = (W_k x + b_k) / sqrt(size), v = W_v x + b_v; a_i = w_i x + b_i,
    a_f = w_f x + b_f; i = exp(a_i), f = sigmoid(a_f); C = f * C + i * v k^T, n = f * n + i * k;
    h = sigmoid(W_o x + b_o) * C q / max(|n^T q|, 1). What is kept is C and n divided by exp(m), with
    m = max(log f + m, a_i), so that nothing overflows. The state is C (batch, head, size, size), n (batch, head, size)
    and m (batch, head), all 0 at the start.

    Args:
        input_size: features of each input step.
        hidden_size: features of each output step.
        num_heads: memories; each has hidden_size / num_heads rows and columns. A divisor of `hidden_size`; more heads
            make the state smaller.

    Raises:
        ConfigurationError: a size is not positive, or the heads do not divide the features.

    Reference:
        Beck et al., xLSTM: extended long short-term memory, 2024, section 2.3 and appendix A.3: the cell alone, without
        the block of convolution, group normalisation and projections around it. Of the two forget gates that the paper
        allows, the sigmoid; b_f starts spread from 3 to 6, as in the authors' code.
    """

    def __init__(self, input_size: int, *, hidden_size: int = 128, num_heads: int = 1) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, num_heads=num_heads)
        check_heads(self, hidden_size, num_heads)
        super().__init__(input_size, hidden_size)
        self.num_heads = num_heads
        self.size = hidden_size // num_heads
        self.projection = nn.Linear(input_size, 4 * hidden_size)  # q, k, v, o
        self.gates = nn.Linear(input_size, 2 * num_heads)  # i, f
        self.gates.bias.detach()[:num_heads] = 0.0
        self.gates.bias.detach()[num_heads:] = forget_biases(num_heads)

    def initial_state(self, batch_size: int) -> State:
        """Returns C, n and m of 0 for `batch_size` rows; see `Encoder.initial_state`."""
        memory = self._zeros(batch_size, self.num_heads, self.size, self.size)
        return memory, self._zeros(batch_size, self.num_heads, self.size), self._zeros(batch_size, self.num_heads)

    def _run(self, inputs: Tensor, lengths: Tensor, padded: Tensor | None, state: State) -> tuple[Tensor, State]:
        projected = self.projection(inputs)
        heads = widen(projected).unflatten(2, (4, self.num_heads, self.size))
        query, key, value, output = heads.permute(2, 0, 3, 1, 4)  # each (batch, head, time, size)
        take, forget = widen(self.gates(inputs)).chunk(2, dim=2)  # each (batch, time, head)
        take = fill_padding(take, padded, -math.inf).transpose(1, 2)
        forget = fill_padding(logsigmoid(forget), padded, 0.0).transpose(1, 2)
        state = tuple(part.to(query.dtype) for part in state)
        pieces = []
        steps = (query, key / math.sqrt(self.size), value, take, forget)
        for chunk in zip(*(tensor.split(_CHUNK, dim=2) for tensor in steps), strict=True):
            # Kept for the gradient is what enters a chunk; what it computes inside is computed again.
            values, *state = checkpoint(_read_chunk, *chunk, *state, use_reentrant=False, preserve_rng_state=False)
            pieces.append(values)
        outputs = torch.sigmoid(output) * torch.cat(pieces, dim=2)
        return narrow(outputs.transpose(1, 2).flatten(2), projected.dtype), tuple(state)


def _read_chunk(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    take: Tensor,
    forget: Tensor,
    memory: Tensor,
    normalizer: Tensor,
    scale: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Computes a chunk of the mLSTM as attention within it, plus what the memory from before it gives.

    Args:
        query: (batch, head, time, size), and so key and value.
        key: divided by the root of the size.
        value: what the key stands for.
        take: a_i (batch, head, time), -inf on padded steps.
        forget: log f (batch, head, time), 0 on padded steps.
        memory: C / exp(m) (batch, head, size, size), rows of values and columns of keys.
        normalizer: n / exp(m) (batch, head, size).
        scale: m (batch, head).

    Returns:
        (batch, head, time, size), and memory, normalizer and scale after the last step.
    """
    faded = forget.cumsum(2)  # log of what is left after each step of what was there before the chunk
    carried = faded + scale.unsqueeze(2)  # (batch, head, time)
    time = query.size(2)
    later = torch.ones(time, time, dtype=torch.bool, device=query.device).triu(1)
    # The logarithm of what step t still holds of step s; the differences are of sums, so that none is of infinities.
    held = (faded.unsqueeze(3) - faded.unsqueeze(2) + take.unsqueeze(2)).masked_fill(later, -math.inf)
    scales = torch.maximum(held.amax(3), carried)
    scores = query @ key.transpose(2, 3) * torch.exp(held - scales.unsqueeze(3))
    before = torch.exp(carried - scales).unsqueeze(3)
    values = scores @ value + before * (query @ memory.transpose(2, 3))
    norms = scores.sum(3, keepdim=True) + before * (query @ normalizer.unsqueeze(3))
    least = torch.exp(-scales.clamp(min=_SMALLEST_SCALE)).unsqueeze(3)
    last = scales[:, :, -1]
    kept = torch.exp(carried[:, :, -1] - last).unsqueeze(2)  # (batch, head, 1)
    weighted = key * torch.exp(held[:, :, -1] - last.unsqueeze(2)).unsqueeze(3)
    memory = kept.unsqueeze(3) * memory + value.transpose(2, 3) @ weighted
    return values / torch.maximum(norms.abs(), least), memory, kept * normalizer + weighted.sum(2), last
