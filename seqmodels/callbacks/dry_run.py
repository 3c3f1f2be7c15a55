"""A look at everything before a training is paid for: shapes, parameters, data."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from seqmodels.data.batch import Batch


class DryRun(Callback):
    """Prints the shapes of one batch; the statistics of data and network come with every fit."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Prints the shapes of the batch and what the network makes of it."""
        print("\nshapes of the first batch")
        shapes = {**batch.inputs, "lengths": batch.lengths, "targets": batch.targets, "logits": pl_module(batch)}
        for name, value in shapes.items():
            if isinstance(value, Tensor):
                print(f"  {name:<18} {tuple(value.shape)!s:<18} {str(value.dtype).removeprefix('torch.')}")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says that all went well."""
        print("\ndry run: one batch of training and of validation went through; nothing was saved")
