"""One step of a model that writes a sequence id by id: all that decoding knows of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seqmodels.encoders.state import State
from seqmodels.errors import ConfigurationError
from seqmodels.losses import at_least_float32

Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""`step(ids (rows,) int64, state) -> (logits (rows, vocab_size), state)`, each row by itself."""


class Ensemble:
    """A step that averages the probabilities of several steps over one vocabulary.

    `p(id) = 1/n sum_i p_i(id)`, in log space; its state is the tuple of their states.

    Args:
        steps: one or more steps, whose ids mean the same.

    Raises:
        ConfigurationError: there is no step.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        if not steps:
            raise ConfigurationError("an ensemble needs at least one step, got none")
        self.steps = tuple(steps)

    def __call__(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Steps them all.

        Args:
            ids: (rows,) int64.
            state: the tuple of the states, in the order of the steps.

        Returns:
            log probabilities (rows, vocab_size), and the tuple of the next states.

        Raises:
            ConfigurationError: there is not one state for each step, or the vocabularies differ in size.
        """
        if len(state) != len(self.steps):
            raise ConfigurationError(f"an ensemble of {len(self.steps)} needs as many states, got {len(state)}")
        taken = [step(ids, part) for step, part in zip(self.steps, state, strict=True)]
        sizes = [logits.size(1) for logits, _ in taken]
        if len(set(sizes)) > 1:
            raise ConfigurationError(
                f"the models of an ensemble must share one vocabulary, got the sizes {', '.join(map(str, sizes))}; "
                f"train them on the same vocabulary file"
            )
        log_probs = torch.stack([at_least_float32(logits).log_softmax(1) for logits, _ in taken])
        return log_probs.logsumexp(0) - math.log(len(taken)), tuple(part for _, part in taken)
