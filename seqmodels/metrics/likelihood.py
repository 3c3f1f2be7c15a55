"""How well a model of sequences foresees them: perplexity and bits per character."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqmodels.data.next_step import Units
from seqmodels.metrics.average import Average


class LikelihoodScores(Average):
    """Perplexity per token and per word and bits per character, of log-likelihoods summed in nats.

    perplexity = exp(nats / tokens), word_perplexity = exp(nats / words), bits_per_character = nats / (ln 2 characters);
    the exponential is taken last, so nothing overflows before. A perplexity beyond e^700 is given as infinite.

    Args:
        tokens: whether the sequences are tokens; of frames there is no score beside the loss.
    """

    def __init__(self, tokens: bool = True) -> None:
        super().__init__()
        self.tokens = tokens
        self.units: Units | None = None  # of the split that is scored, once it is known

    def update(self, log_probs: Tensor, count: Tensor | int) -> None:
        """Adds `count` steps (a scalar) of log-likelihoods (any shape) in nats, 0 for those that do not count."""
        self.add(-log_probs.float().sum(), count)

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """Returns the scores by name; of words and characters where the units are known."""
        if not self.tokens:
            return {}
        loss = (float(self.total) - float(self.excess)) / max(int(self.count), 1)
        scores = {"perplexity": perplexity_of(loss)}
        if self.units is not None and self.units.words and self.units.characters:
            scores["word_perplexity"] = perplexity_of(loss * self.units.tokens / self.units.words)
            scores["bits_per_character"] = loss * self.units.tokens / self.units.characters / math.log(2)
        return {name: torch.tensor(value) for name, value in scores.items()}


def perplexity_of(nats: float) -> float:
    """Returns e^nats, infinite beyond e^700."""
    return math.exp(nats) if nats < 700 else math.inf
