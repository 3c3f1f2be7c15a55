"""Learning rate schedules that warm up, stepped after every optimiser step."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from seqmodels.errors import ConfigurationError


class WarmupSchedule(LRScheduler):
    """Raises the learning rate linearly from nearly 0 over `warmup_steps` steps, then follows a shape.

    Args:
        optimizer: whose learning rates are scaled.
        warmup_steps: steps until the full learning rate.
        total_steps: steps of the whole training; None takes the Trainer's own count.
        final_fraction: what is left of the learning rate at the end, in [0, 1].
    """

    falls: ClassVar[bool] = True  # whether the shape depends on how long the training is

    def __init__(
        self, optimizer: Optimizer, warmup_steps: int = 0, total_steps: int | None = None, final_fraction: float = 0.0
    ) -> None:
        if warmup_steps < 0:
            raise ConfigurationError(f"warmup_steps must be 0 or more, got {warmup_steps}")
        if not 0 <= final_fraction <= 1:
            raise ConfigurationError(f"final_fraction must be in [0, 1], got {final_fraction}")
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.final_fraction = final_fraction
        super().__init__(optimizer)

    def set_total_steps(self, total_steps: int) -> None:
        """Sets the length of the whole training, in optimiser steps."""
        self.total_steps = total_steps

    def get_lr(self) -> list[float | Tensor]:
        """Returns the learning rate of each parameter group at the present step."""
        return [rate * self.factor(self.last_epoch) for rate in self.base_lrs]

    def factor(self, step: int) -> float:
        """Returns the fraction of the full learning rate at `step`, counted from 0."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        if self.total_steps is None:
            return 1.0
        remaining = max(1, self.total_steps - self.warmup_steps)
        return self.decay(min(1.0, (step - self.warmup_steps) / remaining))

    @abstractmethod
    def decay(self, progress: float) -> float:
        """Returns the fraction of the full learning rate after `progress` (0 to 1) of the steps behind the warm-up."""


class WarmupConstant(WarmupSchedule):
    """Warms up, then keeps the full learning rate."""

    falls = False

    def decay(self, progress: float) -> float:
        """Returns 1."""
        return 1.0


class WarmupLinear(WarmupSchedule):
    """Warms up, then falls on a straight line to `final_fraction` at the end."""

    def decay(self, progress: float) -> float:
        """Returns the point on the line."""
        return 1 - (1 - self.final_fraction) * progress


class WarmupCosine(WarmupSchedule):
    """Warms up, then falls along half a cosine to `final_fraction` at the end (Loshchilov and Hutter, 2017)."""

    def decay(self, progress: float) -> float:
        """Returns the point on the cosine."""
        return self.final_fraction + (1 - self.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
