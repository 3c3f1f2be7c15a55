"""Scheduled sampling: in training a decoder reads more and more of what it would have written itself."""

from __future__ import annotations

import math
from typing import Literal, get_args

from seqmodels.errors import ConfigurationError

Decay = Literal["linear", "exponential", "inverse_sigmoid"]


class ScheduledSampling:
    """How probable it is, after so many optimiser steps, that a step of a target reads the network's own choice.

    The probability of the true id falls with the step i and k = `steps`: linear `1 - i / k`, exponential
    `exp(-i / k)`, inverse_sigmoid `k' / (k' + exp(8 i / k))` with k' = 54.6, which is a half after k / 2 steps.
    That of the own choice is what is left, at most `most`.

    Args:
        kind: how the true ids become rarer.
        steps: the scale of the decay in optimiser steps: linear is over then, inverse_sigmoid at 2%, exponential at
            37%.
        most: the largest probability of the own choice, in (0, 1]; high ones make training noisy.

    Raises:
        ConfigurationError: an option is out of range.

    Reference:
        Bengio, Vinyals, Jaitly and Shazeer (2015), Scheduled sampling for sequence prediction with recurrent neural
        networks, section 2.4; there the three kinds have a constant each, here all are told in steps.
    """

    def __init__(self, *, kind: Decay = "linear", steps: int = 10_000, most: float = 0.25) -> None:
        if kind not in get_args(Decay):
            raise ConfigurationError(
                f"scheduled_sampling: kind must be one of {', '.join(get_args(Decay))}, got {kind!r}"
            )
        if steps < 1:
            raise ConfigurationError(f"scheduled_sampling: steps must be at least 1, got {steps}")
        if not 0 < most <= 1:
            raise ConfigurationError(f"scheduled_sampling: most must be in (0, 1], got {most}")
        self.kind = kind
        self.steps = steps
        self.most = most

    def own(self, step: int) -> float:
        """Returns the probability of the own choice after `step` optimiser steps, in [0, most]."""
        share = step / self.steps
        if self.kind == "linear":
            true = max(0.0, 1 - share)
        elif self.kind == "exponential":
            true = math.exp(-share)
        else:
            true = 1 / (1 + math.exp(min(8 * share - 4, 700)))
        return min(1 - true, self.most)
