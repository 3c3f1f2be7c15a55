"""Delayed recall."""

from __future__ import annotations

import torch
from torch import Generator

from seqmodels.diagnostics.memory_tasks.measure import ACCURACY
from seqmodels.diagnostics.memory_tasks.memory_task import (
    Examples,
    MemoryTask,
    at_the_end,
    check_count,
    of_symbols,
    register_memory_task,
)


@register_memory_task("delayed_recall")
class DelayedRecall(MemoryTask):
    """One symbol, shown early and asked for at the end.

    It comes at a random step of the first tenth; the other steps are blank, save the last, which is the cue. Chance is
    1 / symbols right; solved is 99%.

    Args:
        length: steps of an example, 2 at the least.
        symbols: how many different symbols there are, 2 to 64.

    Reference:
        After the latching problem of Bengio, Simard and Frasconi, Learning long-term dependencies with gradient descent
        is difficult, 1994, with symbols in the place of two classes and without noise.
    """

    def __init__(self, length: int, *, symbols: int = 8) -> None:
        check_count(self, "symbols", symbols, 2, 64)
        self.symbols = symbols
        super().__init__(
            length,
            least=2,
            input_size=symbols + 2,
            output_size=symbols,
            measure=ACCURACY,
            chance=1 / symbols,
            bound=0.99,
        )

    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """See `MemoryTask.sample`."""
        shown = torch.randint(self.symbols, (batch_size,), generator=generator)
        places = torch.randint(max(1, self.steps // 10), (batch_size,), generator=generator)
        read = torch.full((batch_size, self.steps), self.symbols)
        read[torch.arange(batch_size), places] = shown
        read[:, -1] = self.symbols + 1
        return of_symbols(read, self.input_size, *at_the_end(shown, self.steps))
