"""Sequences with long time lags, noise-free or noisy."""

from __future__ import annotations

import torch
from torch import Generator

from seqmodels.diagnostics.memory_tasks.measure import ACCURACY
from seqmodels.diagnostics.memory_tasks.memory_task import (
    Examples,
    MemoryTask,
    at_the_end,
    of_symbols,
    register_memory_task,
)


@register_memory_task("long_lag")
class LongLag(MemoryTask):
    """Which of two symbols a row began with, after the symbols a_1, ..., a_{p-1}.

    A row is x or y and then p - 1 others, each of the p + 1 symbols a feature of its own; what follows is the first
    symbol again. Noise-free the others are a_1, a_2, ... in order, noisy they are drawn from them. Chance is 1/2 right;
    solved is 99%.

    Args:
        length: p, the steps of an example, 2 at the least.
        noisy: whether the steps between are random.

    Reference:
        Hochreiter and Schmidhuber, Long short-term memory, 1997, 5.2, tasks 2a (noise-free) and 2b (noisy). There the
        symbols between are predicted too; here only the one that needs memory, as an answer of two classes.
    """

    def __init__(self, length: int, *, noisy: bool = False) -> None:
        self.noisy = noisy
        super().__init__(
            length,
            least=2,
            input_size=length + 1,
            output_size=2,
            measure=ACCURACY,
            chance=0.5,
            bound=0.99,
        )

    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """See `MemoryTask.sample`."""
        others = self.steps - 1
        first = torch.randint(2, (batch_size,), generator=generator)
        between = torch.arange(others).expand(batch_size, others)
        if self.noisy:
            between = torch.randint(others, (batch_size, others), generator=generator)
        read = torch.cat([others + first.unsqueeze(1), between], dim=1)  # (batch, time)
        return of_symbols(read, self.input_size, *at_the_end(first, self.steps))
