"""The temporal order problem."""

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

# a, b, c and d are the distractors 0 to 3.
X, Y, BEGIN, END = 4, 5, 6, 7

# Where the symbols that count lie: each within a tenth of the length, which begins at that many tenths.
TENTHS = {2: (1, 5), 3: (1, 3, 6), 4: (1, 3, 5, 7)}


@register_memory_task("temporal_order")
class TemporalOrder(MemoryTask):
    """In which order a few X and Y came, far apart among distractors.

    A row begins with E, ends with B, and is drawn from a, b, c and d between them, save that each of `symbols` places
    is X or Y with equal chance. The class after the last step says which they were: the X and Y as the binary digits 0
    and 1, the first one foremost. Chance is 2^-symbols right; solved is 99%.

    Args:
        length: steps of an example, 10 at the least.
        symbols: how many X and Y there are, 2 to 4: 4, 8 or 16 classes.

    Reference:
        Hochreiter and Schmidhuber, Long short-term memory, 1997, 5.6, tasks 6a and 6b (two and three symbols); four are
        ours. Places in proportion to a fixed length, and 1% of errors as success, as in Pascanu, Mikolov and Bengio,
        On the difficulty of training recurrent neural networks, 2013, 4.1.
    """

    def __init__(self, length: int, *, symbols: int = 2) -> None:
        check_count(self, "symbols", symbols, 2, 4)
        self.symbols = symbols
        super().__init__(
            length,
            least=10,
            input_size=8,
            output_size=2**symbols,
            measure=ACCURACY,
            chance=2.0**-symbols,
            bound=0.99,
        )

    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """See `MemoryTask.sample`."""
        time = self.steps
        read = torch.randint(4, (batch_size, time), generator=generator)
        read[:, 0], read[:, -1] = BEGIN, END
        rows = torch.arange(batch_size)
        classes = torch.zeros(batch_size, dtype=torch.int64)
        for tenth in TENTHS[self.symbols]:
            places = torch.randint(tenth * time // 10, (tenth + 1) * time // 10, (batch_size,), generator=generator)
            chosen = torch.randint(2, (batch_size,), generator=generator)
            read[rows, places] = X + chosen
            classes = 2 * classes + chosen
        return of_symbols(read, self.input_size, *at_the_end(classes, time))
