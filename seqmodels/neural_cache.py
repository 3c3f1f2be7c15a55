"""The continuous cache of a language model: words that came lately, in a like context, become more likely."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seqmodels.data.encoded import IGNORED
from seqmodels.encoders.state import where_rows
from seqmodels.errors import ConfigurationError
from seqmodels.losses import at_least_float32
from seqmodels.masking import lengths_to_mask


class CacheMemory(NamedTuple):
    """What a cache holds: a state, to be mapped by row. The last place is the latest pair; empty places come first.

    Attributes:
        keys: (batch, size, hidden), the outputs h_i; zeros where empty.
        ids: (batch, size) int64, the token x_i+1 that followed each; negative where empty.
    """

    keys: Tensor
    ids: Tensor


class NeuralCache:
    """Mixes a trained language model's probabilities with those of a cache of its own last outputs; nothing is trained.

    `p(w) = (1 - weight) p_model(w) + weight p_cache(w)` with
    `p_cache(w) = sum_i [x_i+1 = w] exp(flatness h_t h_i) / sum_i exp(flatness h_t h_i)`, the sums over the last `size`
    steps of the same row before t. Where there are none the probability is the model's. It remembers nothing between
    calls: the memory goes in and comes out, and windows of any lengths give what one long row does.

    Args:
        size: how many steps are remembered; 500 for Penn Treebank, 2,000 for WikiText-2 in the paper.
        flatness: theta, at least 0: how much likeness counts. With 0 every step counts the same (a unigram cache).
            Chosen on validation text, as the weight is.
        weight: lambda, in [0, 1): the share of the cache.

    Raises:
        ConfigurationError: an argument is out of range.

    Reference:
        Grave, Joulin and Usunier (2017), Improving neural language models with a continuous cache, section 3, with
        linear interpolation.
    """

    def __init__(self, size: int, *, flatness: float, weight: float) -> None:
        if size < 1:
            raise ConfigurationError(f"neural cache: size must be a positive integer, got {size}")
        if not 0 <= flatness < math.inf:
            raise ConfigurationError(f"neural cache: flatness must be a finite number of at least 0, got {flatness}")
        if not 0 <= weight < 1:
            raise ConfigurationError(f"neural cache: weight must be in [0, 1), got {weight}")
        self.size = size
        self.flatness = flatness
        self.weight = weight

    def empty_memory(self, outputs: Tensor) -> CacheMemory:
        """Returns a memory of nothing for rows of outputs (batch, time, hidden)."""
        batch, _, hidden = outputs.shape
        keys = outputs.new_zeros(batch, self.size, hidden, dtype=at_least_float32(outputs[:0]).dtype)
        return CacheMemory(keys, torch.full((batch, self.size), IGNORED, device=outputs.device))

    def forget(self, memory: CacheMemory, rows: Tensor) -> CacheMemory:
        """Returns the memory with the rows that begin a new text emptied: `rows` (batch,) bool is True for those."""
        return where_rows(rows, self.empty_memory(memory.keys), memory)  # type: ignore[no-any-return]

    @torch.no_grad()
    def log_probs(
        self,
        outputs: Tensor,
        targets: Tensor,
        log_probs: Tensor,
        lengths: Tensor,
        memory: CacheMemory | None = None,
    ) -> tuple[Tensor, CacheMemory]:
        """Computes the log probability of each step's target under model and cache together.

        Its scores take batch x time x (size + time) numbers: cut long rows into windows.

        Args:
            outputs: (batch, time, hidden), what the model's last linear layer reads.
            targets: (batch, time) int64, the token that follows each step; a step whose target is negative is neither
                scored nor remembered, but takes a place. Anything beyond the lengths.
            log_probs: (batch, time), the model's own log probability of each target, in nats.
            lengths: (batch,) int64.
            memory: as the call for the window before returned it; None at the beginning.

        Returns:
            log_probs (batch, time) in nats, in float32 or better, 0 beyond the lengths and where the target is
            negative; and the memory of the last `size` steps.

        Raises:
            ConfigurationError: the shapes of the arguments, or of the memory, do not fit each other.
        """
        _check_shapes(outputs, targets, log_probs, lengths)
        memory = self.empty_memory(outputs) if memory is None else memory
        expected = (outputs.size(0), self.size, outputs.size(2))
        if memory.keys.shape != expected:
            raise ConfigurationError(
                f"neural cache: expected a memory of shape {expected}, got {tuple(memory.keys.shape)}"
            )
        outputs, own = at_least_float32(outputs), at_least_float32(log_probs)
        keys = torch.cat([memory.keys.to(outputs.dtype), outputs], 1)  # (batch, size + time, hidden)
        ids = torch.cat([memory.ids, targets], 1)  # (batch, size + time)
        from_cache, known = self._cache_log_probs(outputs, targets, keys, ids)
        # the logarithm of a weight of 0 is none
        share = math.log(self.weight) if self.weight else -math.inf
        mixed = torch.logaddexp(own + math.log1p(-self.weight), from_cache + share)
        mixed = torch.where(known, mixed, own)
        scored = lengths_to_mask(lengths, targets.size(1)) & (targets >= 0)
        return mixed.masked_fill(~scored, 0), self._last(keys, ids, lengths)

    def _cache_log_probs(self, outputs: Tensor, targets: Tensor, keys: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log p_cache of each target (batch, time), -inf where the cache lacks it, and whether it holds any."""
        with torch.autocast(outputs.device.type, enabled=False):
            scores = self.flatness * torch.bmm(outputs, keys.transpose(1, 2))  # (batch, time, size + time)
        # step t stands at place size + t, and sees the `size` places before that
        steps = torch.arange(outputs.size(1), device=ids.device).unsqueeze(1)
        places = torch.arange(ids.size(1), device=ids.device)
        seen = (places >= steps) & (places < steps + self.size) & (ids >= 0).unsqueeze(1)
        scores = scores.masked_fill(~seen, -math.inf)
        matching = scores.masked_fill(ids.unsqueeze(1) != targets.unsqueeze(2), -math.inf)
        return torch.logsumexp(matching, 2) - torch.logsumexp(scores, 2), seen.any(2)

    def _last(self, keys: Tensor, ids: Tensor, lengths: Tensor) -> CacheMemory:
        """Returns the `size` places that end at each row's length, which cuts off its padding."""
        places = lengths.unsqueeze(1) + torch.arange(self.size, device=lengths.device)  # (batch, size)
        rows = torch.arange(len(keys), device=keys.device).unsqueeze(1)
        return CacheMemory(keys[rows, places], ids[rows, places])


def _check_shapes(outputs: Tensor, targets: Tensor, log_probs: Tensor, lengths: Tensor) -> None:
    steps = tuple(outputs.shape[:2])
    shapes = (tuple(targets.shape), tuple(log_probs.shape), tuple(lengths.shape))
    if outputs.dim() != 3 or shapes != (steps, steps, steps[:1]):
        raise ConfigurationError(
            f"neural cache: expected outputs (batch, time, hidden), targets and log_probs (batch, time), "
            f"lengths (batch,); got {tuple(outputs.shape)}, {', '.join(map(str, shapes))}"
        )
