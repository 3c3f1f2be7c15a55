"""One line an epoch, for logs that no progress bar can be drawn in."""

from __future__ import annotations

import time

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from seqmodels.tasks import Task


class EpochLines(Callback):
    """Prints the scores of each epoch with its seconds."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock of an epoch that is gone on with in its middle, where no other hook begins it."""
        self._begin = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._begin = time.perf_counter()

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the line: validation, where there is one, is over by now."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if isinstance(pl_module, Task) and pl_module.mean_train_loss is not None:
            values["train_loss"] = pl_module.mean_train_loss  # logged is that of the last few steps
        scores = "  ".join(f"{name} {value:.4f}" for name, value in sorted(values.items()))
        print(f"epoch {trainer.current_epoch}: {scores}  ({time.perf_counter() - self._begin:.1f} s)", flush=True)
