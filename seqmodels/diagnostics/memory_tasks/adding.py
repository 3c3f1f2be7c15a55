"""The adding problem."""

from __future__ import annotations

import torch
from torch import Generator

from seqmodels.diagnostics.memory_tasks.measure import SQUARED_ERROR
from seqmodels.diagnostics.memory_tasks.memory_task import Examples, MemoryTask, at_the_end, register_memory_task


@register_memory_task("adding")
class Adding(MemoryTask):
    """The sum of the two numbers that are marked, after the last step.

    A step is a number, uniform in [0, 1), and a mark: 1 at one step of the first half and at one of the second, 0 at
    the others. Always answering 1 has a mean squared error of 2/12 = 0.1667, the variance of the sum (Le et al. and
    many after them print 0.1767); solved is one below 0.01.

    Args:
        length: steps of an example, 2 at the least.

    Reference:
        Hochreiter and Schmidhuber, Long short-term memory, 1997, 5.4, whose marks lie nearer to the beginning; with one
        in each half and fixed length as in Arjovsky, Shah and Bengio, Unitary evolution recurrent neural networks,
        2016, 4.2. Le, Jaitly and Hinton, A simple way to initialize recurrent networks of rectified linear units, 2015.
    """

    def __init__(self, length: int) -> None:
        super().__init__(length, least=2, input_size=2, output_size=1, measure=SQUARED_ERROR, chance=1 / 6, bound=0.01)

    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """See `MemoryTask.sample`."""
        values = torch.rand(batch_size, self.steps, generator=generator)
        half = self.steps // 2
        first = torch.randint(half, (batch_size,), generator=generator)
        second = torch.randint(half, self.steps, (batch_size,), generator=generator)
        rows = torch.arange(batch_size)
        marks = torch.zeros_like(values)
        marks[rows, first] = 1
        marks[rows, second] = 1
        targets, mask = at_the_end(values[rows, first] + values[rows, second], self.steps)
        lengths = torch.full((batch_size,), self.steps)
        return Examples(torch.stack([values, marks], dim=2), lengths, targets, mask)
