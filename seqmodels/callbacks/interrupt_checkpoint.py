"""A checkpoint to go on from, where a fit is broken off."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor


class InterruptCheckpoint(Callback):
    """Saves `checkpoints/interrupted.ckpt` in the run's folder on Ctrl-C, a termination signal or an error.

    Ctrl-C lets a training step that is under way come to its end first, so that the run can go on as if nothing had
    happened: half a step would be in the weights and in the random numbers, but not in the count. A second Ctrl-C
    breaks off at once. It stands behind the callbacks that look at the end of a step, so that all have seen the last.

    Processes that train together agree on where to break off, and save together. An error is that of one of them, which
    can save nothing without the others: then the last checkpoint is the one to go on from.
    """

    def __init__(self) -> None:
        self._in_step = False
        self._asked = self._agreed = self._are_several = False
        self._folder: Path | None = None
        self._previous: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes over Ctrl-C."""
        self._in_step = self._asked = self._agreed = False
        self._are_several = trainer.world_size > 1
        self._folder = None if trainer.log_dir is None else Path(trainer.log_dir) / "checkpoints"
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._interrupt)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """A step begins."""
        self._in_step = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step has come to its end."""
        self._in_step = False
        self._break_off_if_asked(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Processes that train together break off here too."""
        if self._are_several and not trainer.sanity_checking:
            self._break_off_if_asked(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gives Ctrl-C back."""
        self._give_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Saves it, if training had begun, and says how to go on."""
        self._give_back()
        if self._folder is None or trainer.global_step == 0:
            return
        if self._are_several and not self._agreed and not isinstance(exception, SIGTERMException):
            print(
                f"\nprocess {trainer.global_rank} broke off after {trainer.global_step} steps, without the others; "
                f"go on with the last checkpoint in {self._folder}",
                file=sys.stderr,
            )
            return
        if trainer.validating:
            _let_validation_begin_anew(trainer)
        else:
            _take_back_batch(trainer)
        path = self._folder / "interrupted.ckpt"
        trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            print(f"\nbroken off after {trainer.global_step} steps; go on with --ckpt_path {path}", file=sys.stderr)

    def _interrupt(self, number: int, frame: Any) -> None:
        if (self._in_step or self._are_several) and not self._asked:
            self._asked = True
            return
        raise KeyboardInterrupt

    def _break_off_if_asked(self, trainer: Trainer, pl_module: LightningModule) -> None:
        asked = self._asked
        if self._are_several:  # where one was asked, all break off
            flag: Tensor = torch.tensor(float(asked), device=pl_module.device)
            asked = bool(trainer.strategy.reduce(flag, reduce_op="sum") > 0)
        if asked:
            self._agreed = True
            raise KeyboardInterrupt

    def _give_back(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None


def _take_back_batch(trainer: Trainer) -> None:
    """Has a run that goes on read the batch again whose step was broken off.

    Lightning counts it as begun for good, and would no longer know a later checkpoint to be of the end of a step.
    """
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress
    for count in (progress.total, progress.current):
        if count.processed == count.completed:  # else the step has been taken
            count.ready = count.started = count.completed


def _let_validation_begin_anew(trainer: Trainer) -> None:
    """Has a run that goes on repeat the validation which was broken off, from its first batch.

    Lightning goes back into a validation only where it was left in the middle of a batch, and then leaves out as many
    batches at the end as were scored before, with the scores of which their sums are gone.
    """
    progress: Any = trainer.fit_loop.epoch_loop.val_loop.batch_progress
    progress.current.reset()
    progress.total.started = progress.total.ready = max(1, progress.total.ready)
    progress.total.processed = progress.total.completed = progress.total.ready - 1
