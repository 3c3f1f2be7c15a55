"""The confusion matrix as a picture, in the run's folder and in TensorBoard."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from seqmodels.metrics import ClassificationScores, plot_confusion_matrix

logger = logging.getLogger(__name__)


class ConfusionPicture(Callback):
    """Draws which class was taken for which, by the last validation of a fit and by a test.

    Without matplotlib there is no picture, which the log says.

    Args:
        folder: where `confusion_val.png` and `confusion_test.png` go; None for the logger's folder.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the picture of the validation data."""
        self._draw(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the picture of the test data."""
        self._draw(trainer, pl_module, "test")

    def _draw(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        scores = pl_module.scores[split]  # type: ignore[index,union-attr]
        folder = self.folder or trainer.log_dir
        if not isinstance(scores, ClassificationScores) or not scores.has_matrix or folder is None:
            return
        matrix = scores.confusion_matrix()
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if find_spec("matplotlib") is None:  # a picture that no one asked for is no reason to end with an error
            logger.info("no picture of the confusion matrix: it needs matplotlib, pip install 'seqmodels[plots]'")
            return
        figure = plot_confusion_matrix(matrix, pl_module.network.target.names)  # type: ignore[union-attr,arg-type]
        Path(folder).mkdir(parents=True, exist_ok=True)
        figure.savefig(Path(folder) / f"confusion_{split}.png", dpi=120, bbox_inches="tight")
        for writer in trainer.loggers:
            if isinstance(writer, TensorBoardLogger):
                writer.experiment.add_figure(f"confusion_{split}", figure, trainer.global_step)
