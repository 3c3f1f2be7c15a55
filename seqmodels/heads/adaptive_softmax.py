"""The adaptive softmax: a vocabulary in clusters by frequency, the rare ones with small vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqmodels.data.encoded import IGNORED
from seqmodels.errors import ConfigurationError
from seqmodels.heads.head import Head
from seqmodels.losses import at_least_float32


class AdaptiveSoftmaxHead(Head):
    """Chooses among the frequent ids and the clusters of the rarer ones, then within the cluster that was chosen.

    `p(id) = p_head(id)` for an id below the first cutoff; for one in cluster c, `p(id) = p_head(c) p_c(id)`, where
    the outputs are first projected to `input_size / div_value^c` features (c = 1, 2, ...). A training step costs the
    head's softmax for every item and a cluster's only for the items in it.

    It counts on ids that are sorted by falling frequency, as those of words and of characters are: the special ids
    (pad, unk, bos, eos: 0 to 3) and then the tokens, the most frequent first. The pieces of BPE begin with 256 bytes,
    most of which are rare, and go on as they were merged; a pretrained tokenizer's may come in any order: the softmax
    is then as exact, and saves less.

    Args:
        input_size: features of each item.
        vocab_size: number of ids.
        cutoffs: the first id of each cluster, increasing, each from 1 to vocab_size - 1; the ids before the first
            cutoff are the frequent ones. `[2000, 10000]` suits a vocabulary of 33,000.
        div_value: how many times fewer features each next cluster has, 1 or more.

    Raises:
        ConfigurationError: an option is out of range, or a cluster would have no features left.

    Reference:
        Grave et al. (2017), Efficient softmax approximation for GPUs.
    """

    def __init__(self, input_size: int, vocab_size: int, *, cutoffs: Sequence[int], div_value: float = 4.0) -> None:
        super().__init__(input_size, vocab_size)
        _check_cutoffs(cutoffs, vocab_size)
        if not div_value >= 1:
            raise ConfigurationError(f"div_value must be 1 or more, got {div_value}")
        if input_size // div_value ** len(cutoffs) < 1:
            raise ConfigurationError(
                f"{len(cutoffs)} cutoffs with div_value {div_value} leave the last cluster no features of "
                f"{input_size}; take fewer cutoffs or a smaller div_value"
            )
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(
            input_size, vocab_size, list(cutoffs), div_value=div_value, head_bias=True
        )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes the mean negative log-likelihood; see `Head.loss`."""
        scored = targets != IGNORED
        losses = self._losses(outputs[scored], targets[scored])
        # A cluster without targets in this batch gets zeros: distributed training waits for every parameter's gradient.
        nothing = sum(0 * weight[0, 0] for weight in self.softmax.tail.parameters())
        return losses.sum() / max(1, losses.size(0)) + nothing

    @torch.no_grad()
    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes each target's negative log-likelihood; see `Head.nll`."""
        return self._losses(outputs, targets)

    def logits(self, outputs: Tensor) -> Tensor:
        """Returns the log probabilities (items, vocab_size): it has no other scores of all ids."""
        return self.log_probs(outputs)

    def log_probs(self, outputs: Tensor) -> Tensor:
        """Returns the log probabilities (items, vocab_size)."""
        with torch.autocast(outputs.device.type, enabled=False):
            return at_least_float32(self.softmax.log_prob(outputs.to(self.softmax.head.weight.dtype)))

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        # Under autocast the clusters' results would be of another type than the buffer that torch copies them to.
        with torch.autocast(outputs.device.type, enabled=False):
            return at_least_float32(-self.softmax(outputs.to(self.softmax.head.weight.dtype), targets).output)


def _check_cutoffs(cutoffs: Sequence[int], vocab_size: int) -> None:
    if not cutoffs:
        raise ConfigurationError("cutoffs must have at least one id where a cluster begins, got none")
    for before, cutoff in zip([0, *cutoffs], cutoffs, strict=False):
        if not isinstance(cutoff, int) or not before < cutoff < vocab_size:
            raise ConfigurationError(
                f"cutoffs must be increasing integers from 1 to vocab_size - 1 = {vocab_size - 1}, got {list(cutoffs)}"
            )
