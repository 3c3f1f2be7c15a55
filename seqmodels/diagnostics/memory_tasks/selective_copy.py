"""Selective copying."""

from __future__ import annotations

import torch
from torch import Generator

from seqmodels.diagnostics.memory_tasks.measure import ACCURACY
from seqmodels.diagnostics.memory_tasks.memory_task import (
    Examples,
    MemoryTask,
    check_count,
    of_symbols,
    register_memory_task,
)

SYMBOLS = 8
BLANK, CUE = SYMBOLS, SYMBOLS + 1


@register_memory_task("selective_copy")
class SelectiveCopy(MemoryTask):
    """Symbols at random places among blanks, repeated in order without the blanks.

    After `length` steps come as many cues as there were symbols; only they are scored. Chance is 1/8 right; solved is
    99%.

    Args:
        length: steps among which the symbols lie; an example has `copied` more.
        copied: how many symbols there are, 1 to 32.

    Reference:
        Gu and Dao, Mamba: Linear-time sequence modeling with selective state spaces, 2023, 4.1.1 (16 of 16 symbols at
        length 4096); after Jing et al., Gated orthogonal recurrent units, 2019.
    """

    def __init__(self, length: int, *, copied: int = 10) -> None:
        check_count(self, "copied", copied, 1, 32)
        self.copied = copied
        super().__init__(
            length,
            steps=length + copied,
            least=copied,
            input_size=SYMBOLS + 2,
            output_size=SYMBOLS,
            measure=ACCURACY,
            chance=1 / SYMBOLS,
            bound=0.99,
        )

    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """See `MemoryTask.sample`."""
        chosen = torch.randint(SYMBOLS, (batch_size, self.copied), generator=generator)
        places = torch.rand(batch_size, self.length, generator=generator).argsort(1)[:, : self.copied].sort(1).values
        read = torch.full((batch_size, self.steps), BLANK)
        read.scatter_(1, places, chosen)
        read[:, self.length :] = CUE
        targets = torch.zeros_like(read)
        targets[:, self.length :] = chosen
        return of_symbols(read, self.input_size, targets, read == CUE)
