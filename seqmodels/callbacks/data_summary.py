"""The statistics of the data, printed where a fit begins."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only


class DataSummary(Callback):
    """Prints rows, lengths, unknown rates and the share of padding of each split."""

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints them."""
        print(trainer.datamodule.describe())  # type: ignore[attr-defined]
