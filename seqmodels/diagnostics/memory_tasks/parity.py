"""Parity."""

from __future__ import annotations

import torch
from torch import Generator

from seqmodels.diagnostics.memory_tasks.measure import ACCURACY
from seqmodels.diagnostics.memory_tasks.memory_task import Examples, MemoryTask, of_symbols, register_memory_task


@register_memory_task("parity")
class Parity(MemoryTask):
    """Whether the number of ones so far is odd, after each step.

    The smallest case of state tracking: one bit of memory which every step may turn over. Chance is 1/2 right; solved
    is 99% of all steps.

    Args:
        length: steps of an example, 1 at the least.

    Reference:
        Hochreiter and Schmidhuber, Long short-term memory, 1997, 5; as state tracking: Merrill, Petty and Sabharwal,
        The illusion of state in state-space models, 2024.
    """

    def __init__(self, length: int) -> None:
        super().__init__(length, least=1, input_size=2, output_size=2, measure=ACCURACY, chance=0.5, bound=0.99)

    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """See `MemoryTask.sample`."""
        bits = torch.randint(2, (batch_size, self.steps), generator=generator)
        return of_symbols(bits, 2, bits.cumsum(1) % 2, torch.ones(bits.shape, dtype=torch.bool))
