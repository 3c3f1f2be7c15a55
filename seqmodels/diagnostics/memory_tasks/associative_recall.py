"""Associative recall."""

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

KEYS = 8
VALUES = 8
BLANK = KEYS + VALUES


@register_memory_task("associative_recall")
class AssociativeRecall(MemoryTask):
    """The value that came after a key, when that key is asked for at the end.

    Pairs of a key (of 8, none twice) and a value (of 8) come first, then blanks; the last step is one of the keys, with
    a feature that marks it as the question. Chance is 1/8 right; solved is 99%.

    Args:
        length: steps of an example, one more than the pairs take at the least.
        pairs: how many pairs are to be held at once, 1 to 8.

    Reference:
        Ba et al., Using fast weights to attend to the recent past, 2016, 4.1; Graves, Wayne and Danihelka, Neural
        Turing machines, 2014, 4.3. The blanks, which set the lag, are ours.
    """

    def __init__(self, length: int, *, pairs: int = 4) -> None:
        check_count(self, "pairs", pairs, 1, KEYS)
        self.pairs = pairs
        super().__init__(
            length,
            least=2 * pairs + 1,
            input_size=KEYS + VALUES + 2,
            output_size=VALUES,
            measure=ACCURACY,
            chance=1 / VALUES,
            bound=0.99,
        )

    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """See `MemoryTask.sample`."""
        keys = torch.rand(batch_size, KEYS, generator=generator).argsort(1)[:, : self.pairs]
        values = torch.randint(VALUES, (batch_size, self.pairs), generator=generator)
        asked = torch.randint(self.pairs, (batch_size, 1), generator=generator)
        read = torch.full((batch_size, self.steps), BLANK)
        read[:, 0 : 2 * self.pairs : 2] = keys
        read[:, 1 : 2 * self.pairs : 2] = KEYS + values
        read[:, -1:] = keys.gather(1, asked)
        examples = of_symbols(read, self.input_size, *at_the_end(values.gather(1, asked).squeeze(1), self.steps))
        examples.inputs[:, -1, BLANK + 1] = 1
        return examples
