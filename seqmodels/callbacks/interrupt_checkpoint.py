"""A checkpoint to go on from, where a fit is broken off."""

from __future__ import annotations

import sys
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer


class InterruptCheckpoint(Callback):
    """Saves `checkpoints/interrupted.ckpt` in the run's folder on Ctrl-C, a termination signal or an error."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Saves it, if training had begun, and says how to go on."""
        if trainer.log_dir is None or trainer.global_step == 0:
            return
        path = Path(trainer.log_dir) / "checkpoints" / "interrupted.ckpt"
        trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            print(f"\nbroken off after {trainer.global_step} steps; go on with --ckpt_path {path}", file=sys.stderr)
