"""How likely a model finds a sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """How likely a model finds a sequence: a text, or the translation of one.

    Attributes:
        tokens: the tokens as the vocabulary writes them, the end token last; empty for frames.
        log_probs: the log-likelihood of each step given those before it, in nats.
    """

    tokens: list[str]
    log_probs: list[float]

    @property
    def log_probability(self) -> float:
        """The log-likelihood of the whole, in nats: by this sequences are ranked."""
        return math.fsum(self.log_probs)

    @property
    def perplexity(self) -> float:
        """The inverse of the geometric mean of the steps' probabilities."""
        return math.exp(min(-self.log_probability / max(len(self.log_probs), 1), 700.0))
