"""The contract of a memory task, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from seqmodels.diagnostics.memory_tasks.measure import Measure
from seqmodels.errors import ConfigurationError
from seqmodels.registry import Registry


class Examples(NamedTuple):
    """A batch of a task; all rows are of the same length.

    Attributes:
        inputs: (batch, time, input_size) float32.
        lengths: (batch,) int64, all equal to time.
        targets: (batch, time), int64 classes or float32 values; what lies on steps that are not scored is 0.
        mask: (batch, time), True on the steps that are scored.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    mask: Tensor


class MemoryTask(ABC):
    """Makes examples of which the answer follows from steps long ago.

    Args:
        length: what the task calls its length, in steps; the longer, the harder.
        steps: steps of an example, where they differ from the length.
        least: the smallest length that makes sense.
        input_size: features of a step.
        output_size: numbers that are predicted at a scored step: classes, or 1 for a value.
        measure: what is scored.
        chance: the score of the best answer that does not look at the inputs.
        bound: the score at which the task counts as solved.

    Raises:
        ConfigurationError: the length is smaller than `least`.
    """

    def __init__(
        self,
        length: int,
        *,
        steps: int | None = None,
        least: int,
        input_size: int,
        output_size: int,
        measure: Measure,
        chance: float,
        bound: float,
    ) -> None:
        if isinstance(length, bool) or not isinstance(length, int) or length < least:
            raise ConfigurationError(
                f"memory task '{memory_task_registry.name_of(type(self))}' needs a length of at least {least} steps, "
                f"got {length}"
            )
        self.length = length
        self.steps = length if steps is None else steps
        self.input_size = input_size
        self.output_size = output_size
        self.measure = measure
        self.chance = chance
        self.bound = bound

    @abstractmethod
    def sample(self, batch_size: int, generator: Generator) -> Examples:
        """Returns `batch_size` new examples; the same state of the generator gives the same ones."""

    def is_solved(self, score: float) -> bool:
        """Tells whether a score is as good as the literature asks for."""
        return score == self.bound or self.measure.is_better(score, self.bound)


memory_task_registry: Registry[MemoryTask] = Registry("memory task", MemoryTask, supplied=1)
register_memory_task = memory_task_registry.register


def check_count(owner: object, name: str, count: int, least: int, most: int) -> None:
    """Checks a task's number of something.

    Raises:
        ConfigurationError: it is no whole number from `least` to `most`.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= most:
        raise ConfigurationError(
            f"{type(owner).__name__}: {name} must be a whole number from {least} to {most}, got {count!r}"
        )


def of_symbols(symbols: Tensor, size: int, targets: Tensor, mask: Tensor) -> Examples:
    """Returns examples whose steps are `symbols` (batch, time) of an alphabet of `size`, one feature each."""
    batch, time = symbols.shape
    return Examples(one_hot(symbols, size).float(), torch.full((batch,), time), targets, mask)


def at_the_end(answers: Tensor, time: int) -> tuple[Tensor, Tensor]:
    """Returns targets and mask (batch, time) of which only the last step is scored, with `answers` (batch,)."""
    targets = answers.new_zeros(answers.size(0), time)
    targets[:, -1] = answers
    mask = torch.zeros(targets.shape, dtype=torch.bool)
    mask[:, -1] = True
    return targets, mask
