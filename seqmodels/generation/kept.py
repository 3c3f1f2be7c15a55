"""The best complete hypotheses that beam search has found so far."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

from seqmodels.generation.hypothesis import Hypothesis


@dataclass
class Kept:
    """Keeps the best `size` hypotheses of one row or group, best first; of equal ones that which came first.

    `ended` counts all that ended, kept or not.
    """

    size: int
    ended: int = 0
    hypotheses: list[Hypothesis] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Tells whether a hypothesis has to push out another."""
        return len(self.hypotheses) == self.size

    @property
    def worst(self) -> float:
        """Returns the score that a hypothesis must exceed to be kept."""
        return self.hypotheses[-1].score if self.full else -float("inf")

    def add(self, hypothesis: Hypothesis) -> None:
        """Keeps the hypothesis if it is good enough."""
        place = bisect.bisect_right([-kept.score for kept in self.hypotheses], -hypothesis.score)
        self.hypotheses.insert(place, hypothesis)
        del self.hypotheses[self.size :]
