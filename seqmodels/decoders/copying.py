"""Copying from the source: a mixture of the vocabulary's distribution and of where the decoder looks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqmodels.encoders.options import check_sizes
from seqmodels.errors import ConfigurationError
from seqmodels.losses import at_least_float32


class Copying(nn.Module):
    """Writes an id of the vocabulary, or one that stands in the source (pointer-generator).

    `p(id) = g p_vocabulary(id) + (1 - g) sum_{i: source_i = id} a_i`, with `g = sigmoid(v . o + b)` and the attention
    a, in log space. A source without real places has nothing to copy, and there g is 1.

    The ids of the source must be those of the target: one vocabulary for both, or `vocab_size + k` for the k-th word of
    a source that the vocabulary lacks, numbered for each source by itself. What is written with such a number is the
    caller's to look up in the source, and to embed as the unknown word when it is read again.

    Args:
        input_size: features of the decoder's outputs o.
        vocab_size: ids that the vocabulary has.

    Raises:
        ConfigurationError: a size is not a positive integer.

    Reference:
        See et al. (2017), Get to the point: summarization with pointer-generator networks, section 2.2; here the gate
        reads the decoder's output, which is made of the hidden vector and the context, and not the step's input.
    """

    def __init__(self, input_size: int, vocab_size: int) -> None:
        super().__init__()
        check_sizes(self, input_size=input_size, vocab_size=vocab_size)
        self.vocab_size = vocab_size
        self.gate = nn.Linear(input_size, 1)

    def forward(
        self, log_probs: Tensor, outputs: Tensor, attention: Tensor, source_ids: Tensor, extra_ids: int = 0
    ) -> Tensor:
        """Computes the log probability of every id.

        Args:
            log_probs: (items, vocab_size), of the vocabulary's distribution.
            outputs: (items, input_size).
            attention: (items, source_time), zero on padding.
            source_ids: (items, source_time) int64, below vocab_size + extra_ids; on padding any of these.
            extra_ids: ids beyond the vocabulary, the most of all sources.

        Returns:
            (items, vocab_size + extra_ids) in nats, float32 at least; -inf where an id is neither in the vocabulary nor
            in the source.

        Raises:
            ConfigurationError: the shapes do not fit.
        """
        if log_probs.dim() != 2 or log_probs.size(1) != self.vocab_size or attention.shape != source_ids.shape:
            raise ConfigurationError(
                f"Copying: expected log_probs (items, {self.vocab_size}), and attention and source_ids of one shape "
                f"(items, source_time); got {tuple(log_probs.shape)}, {tuple(attention.shape)} and "
                f"{tuple(source_ids.shape)}"
            )
        log_probs, attention = at_least_float32(log_probs), at_least_float32(attention)
        generating, copying = self._log_gates(outputs, attention)
        written = nn.functional.pad(generating.unsqueeze(1) + log_probs, (0, extra_ids), value=-torch.inf)
        copied = torch.zeros_like(written).scatter_add(1, source_ids, attention.to(written.dtype))
        return _add(written, copying.unsqueeze(1) + _log(copied))

    def target_log_probs(
        self, log_probs: Tensor, outputs: Tensor, attention: Tensor, source_ids: Tensor, targets: Tensor
    ) -> Tensor:
        """Computes the log probability of the targets alone, as training needs it.

        Args:
            log_probs: (items,), of each target in the vocabulary's distribution; whatever it is where the target is
                beyond the vocabulary does not matter.
            outputs: (items, input_size).
            attention: (items, source_time), zero on padding.
            source_ids: (items, source_time) int64.
            targets: (items,) int64.

        Returns:
            (items,) in nats, float32 at least; -inf where a target is neither in the vocabulary nor in the source.
        """
        attention = at_least_float32(attention)
        generating, copying = self._log_gates(outputs, attention)
        written = generating + at_least_float32(log_probs).masked_fill(targets >= self.vocab_size, -torch.inf)
        copied = attention.masked_fill(source_ids != targets.unsqueeze(1), 0).sum(1)
        return _add(written, copying + _log(copied))

    def _log_gates(self, outputs: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the logs of g and of 1 - g, (items,) each."""
        gate = at_least_float32(self.gate(outputs)).squeeze(1)
        generating = nn.functional.logsigmoid(gate).masked_fill(attention.sum(1) == 0, 0)
        return generating, nn.functional.logsigmoid(-gate)


def _log(mass: Tensor) -> Tensor:
    """Returns the log, -inf with a gradient of zero where the mass is zero."""
    return mass.clamp(min=torch.finfo(mass.dtype).tiny).log().masked_fill(mass == 0, -torch.inf)


def _add(first: Tensor, second: Tensor) -> Tensor:
    """Returns log(exp(first) + exp(second)), with a gradient of zero where both are -inf."""
    neither = (first == -torch.inf) & (second == -torch.inf)
    added = torch.logaddexp(first.masked_fill(neither, 0), second.masked_fill(neither, 0))
    return added.masked_fill(neither, -torch.inf)
