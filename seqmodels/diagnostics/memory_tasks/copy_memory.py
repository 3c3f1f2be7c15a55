"""The copy memory task."""

from __future__ import annotations

import math

import torch
from torch import Generator

from seqmodels.diagnostics.memory_tasks.measure import CROSS_ENTROPY
from seqmodels.diagnostics.memory_tasks.memory_task import Examples, MemoryTask, of_symbols, register_memory_task

SYMBOLS = 8
COPIED = 10
BLANK, DELIMITER = SYMBOLS, SYMBOLS + 1


@register_memory_task("copy_memory")
class CopyMemory(MemoryTask):
    """Ten symbols of eight, repeated in order after a long wait.

    Read are 10 symbols, T - 1 blanks, a delimiter and 10 blanks; to be said are T + 10 blanks and then the 10 symbols.
    Every step is scored. Saying blanks and then any symbol costs 10 ln 8 / (T + 20) nats a step; solved is a tenth of
    that.

    Args:
        length: T, the steps from the last symbol to the delimiter, 1 at the least; an example has T + 20.

    Reference:
        Arjovsky, Shah and Bengio, Unitary evolution recurrent neural networks, 2016, 4.1; after Hochreiter and
        Schmidhuber, Long short-term memory, 1997.
    """

    def __init__(self, length: int) -> None:
        steps = length + 2 * COPIED
        chance = COPIED * math.log(SYMBOLS) / max(steps, 1)
        super().__init__(
            length,
            steps=steps,
            least=1,
            input_size=SYMBOLS + 2,
            output_size=SYMBOLS + 1,
            measure=CROSS_ENTROPY,
            chance=chance,
            bound=chance / 10,
        )

    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """See `MemoryTask.sample`."""
        copied = torch.randint(SYMBOLS, (batch_size, COPIED), generator=generator)
        symbols = torch.full((batch_size, self.steps), BLANK)
        symbols[:, :COPIED] = copied
        symbols[:, COPIED + self.length - 1] = DELIMITER
        targets = torch.full((batch_size, self.steps), BLANK)
        targets[:, -COPIED:] = copied
        return of_symbols(symbols, self.input_size, targets, torch.ones(targets.shape, dtype=torch.bool))
