"""The statistics of data and network, printed where a fit begins."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only


class DataSummary(Callback):
    """Prints rows, lengths, unknown rates and the share of padding of each split, and the parameters of each part."""

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints them."""
        print(trainer.datamodule.describe())  # type: ignore[attr-defined]
        network: Any = pl_module.network
        sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
        parts = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
        print(f"parameters: {sum(p.numel() for p in network.parameters()):,} ({parts})", flush=True)
