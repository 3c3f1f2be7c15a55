"""How well a model of sequences foresees them: perplexity and bits per character."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from seqmodels.data.next_step import Units


class LikelihoodScores(Metric):
    """Perplexity per token and per word and bits per character, of log-likelihoods summed in nats.

    perplexity = exp(nats / tokens), word_perplexity = exp(nats / words), bits_per_character = nats / (ln 2 characters);
    the exponential is taken last, so nothing overflows before. A perplexity beyond e^700 is given as infinite.

    Args:
        tokens: whether the sequences are tokens; of frames there is no score beside the loss.
    """

    full_state_update = False
    nats: Tensor
    count: Tensor

    def __init__(self, tokens: bool = True) -> None:
        super().__init__()
        self.tokens = tokens
        self.units: Units | None = None  # of the split that is scored, once it is known
        self.add_state("nats", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, log_probs: Tensor, count: Tensor) -> None:
        """Adds `count` steps (a scalar) of log-likelihoods (any shape) in nats, 0 for those that do not count."""
        self.nats = self.nats - log_probs.sum(dtype=torch.float64)
        self.count = self.count + count

    def compute(self) -> dict[str, Tensor]:
        """Returns the scores by name; of words and characters where the units are known."""
        if not self.tokens:
            return {}
        loss = float(self.nats) / max(int(self.count), 1)
        scores = {"perplexity": perplexity_of(loss)}
        if self.units is not None and self.units.words and self.units.characters:
            scores["word_perplexity"] = perplexity_of(loss * self.units.tokens / self.units.words)
            scores["bits_per_character"] = loss * self.units.tokens / self.units.characters / math.log(2)
        return {name: torch.tensor(value) for name, value in scores.items()}

    def set_dtype(self, dst_type: str | torch.dtype) -> LikelihoodScores:
        """Does nothing: the sum stays in double precision, whatever the network computes in."""
        return self


def perplexity_of(nats: float) -> float:
    """Returns e^nats, infinite beyond e^700."""
    return math.exp(nats) if nats < 700 else math.inf
