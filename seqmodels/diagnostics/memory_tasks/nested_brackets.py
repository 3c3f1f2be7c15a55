"""Nested brackets."""

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


@register_memory_task("nested_brackets")
class NestedBrackets(MemoryTask):
    """Which bracket may be closed next, after each step of well-nested brackets.

    Symbols are the opening brackets of `kinds` kinds and then the closing ones. Each step opens one or closes the
    innermost with equal chance; with none open it opens, with `depth` open it closes. The target is the kind of the
    innermost open bracket, or class `kinds` where none is open. Chance is the share of the most frequent class, exactly
    computed; solved is 99% of all steps.

    Args:
        length: steps of an example, 1 at the least.
        kinds: kinds of brackets, 1 to 16.
        depth: brackets that may be open at once, 1 to 64.

    Reference:
        Hewitt et al., RNNs can generate bounded hierarchical languages with optimal memory, 2020 (Dyck-(k, m)).
    """

    def __init__(self, length: int, *, kinds: int = 2, depth: int = 4) -> None:
        check_count(self, "kinds", kinds, 1, 16)
        check_count(self, "depth", depth, 1, 64)
        self.kinds = kinds
        self.depth = depth
        closed = _share_closed(length, depth)
        super().__init__(
            length,
            least=1,
            input_size=2 * kinds,
            output_size=kinds + 1,
            measure=ACCURACY,
            chance=max(closed, (1 - closed) / kinds),
            bound=0.99,
        )

    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """See `MemoryTask.sample`."""
        rows = torch.arange(batch_size)
        stack = torch.full((batch_size, self.depth + 1), self.kinds)  # its bottom says that none is open
        height = torch.zeros(batch_size, dtype=torch.int64)
        coins = torch.randint(2, (batch_size, self.steps), generator=generator).bool()
        kinds = torch.randint(self.kinds, (batch_size, self.steps), generator=generator)
        read, targets = [], []
        for coin, kind in zip(coins.unbind(1), kinds.unbind(1), strict=True):
            opens = (coin | (height == 0)) & (height < self.depth)
            innermost = stack[rows, height]
            read.append(torch.where(opens, kind, self.kinds + innermost))
            height = torch.where(opens, height + 1, height - 1)
            stack[rows, height] = torch.where(opens, kind, stack[rows, height])
            targets.append(stack[rows, height])
        mask = torch.ones(batch_size, self.steps, dtype=torch.bool)
        return of_symbols(torch.stack(read, dim=1), self.input_size, torch.stack(targets, dim=1), mask)


def _share_closed(length: int, depth: int) -> float:
    """Returns the expected share of steps after which no bracket is open."""
    heights = [1.0] + [0.0] * depth  # the probability of each number of open brackets
    closed = 0.0
    for _ in range(length):
        following = [0.0] * (depth + 1)
        for height, probability in enumerate(heights):
            up = 1.0 if height == 0 else 0.0 if height == depth else 0.5
            if height < depth:
                following[height + 1] += up * probability
            if height > 0:
                following[height - 1] += (1 - up) * probability
        heights = following
        closed += heights[0]
    return closed / max(length, 1)
