"""Tagging as a task: one tag for each token."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torchmetrics import Metric

from seqmodels.data.batch import Batch
from seqmodels.data.schema import Schema
from seqmodels.errors import ConfigurationError
from seqmodels.losses import tagging_loss
from seqmodels.metrics import ClassificationScores, EntityScores
from seqmodels.networks import TaggingNetwork
from seqmodels.tags import marks_chunks
from seqmodels.tasks.task import Task


class SequenceTagger(Task):
    """Gives each token of a sequence a tag.

    Args:
        encoder: the encoder, by name with its arguments, such as `{name: lstm, hidden_size: 256}`; the command
            `seqmodels encoders` lists them.
        embedder: the embedder's arguments: `{embedding_dim: 100, dropout: 0.3}`.
        crf: whether a linear-chain conditional random field scores the tags together.
        constrained: whether chunk tags (BIO, IOBES) are held to their scheme in decoding.
        dropout: fraction of the encoder's outputs dropped in training, in [0, 1).
        label_smoothing: fraction of the target spread over all tags, in [0, 1); without a CRF.
        optimizer: makes the optimiser from the parameters; fused Adam at 0.001 where nothing is said.
        lr_scheduler: makes the learning rate schedule from the optimiser; None for a constant rate.
        monitor: the score by which the best checkpoint is chosen: val_accuracy, val_macro_f1, val_loss, or for chunk
            tags val_f1, val_precision, val_recall; None for val_accuracy, or val_f1.
    """

    network_name = "tagging"
    network: TaggingNetwork

    def __init__(
        self,
        encoder: str | dict[str, Any] = "lstm",
        embedder: str | dict[str, Any] = "embedding",
        crf: bool = False,
        constrained: bool = True,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3, fused=True),
        lr_scheduler: LRSchedulerCallable | None = None,
        monitor: str | None = None,
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ConfigurationError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        if crf and label_smoothing:
            raise ConfigurationError("label_smoothing has no meaning with crf: true; set it to 0")
        super().__init__(
            {"encoder": encoder, "embedder": embedder, "crf": crf, "constrained": constrained, "dropout": dropout},
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            monitor=monitor,
            label_smoothing=label_smoothing,
        )
        self.label_smoothing = label_smoothing

    def loss(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean negative log-likelihood over the scored tags, in nats."""
        assert batch.targets is not None
        known = batch.targets >= 0  # (batch, words)
        count = known.sum()
        if self.network.crf is None:
            return tagging_loss(logits, batch.targets, label_smoothing=self.label_smoothing), count
        likelihood = self.network.crf.log_likelihood(
            logits, batch.targets.clamp(min=0), batch.tag_lengths(), mask=known
        )
        return -likelihood.sum() / count.clamp(min=1), count

    def default_monitor(self, schema: Schema) -> str:
        """Returns the accuracy, or the entity F1 where the tags mark chunks."""
        return "val_f1" if schema.target and marks_chunks(schema.target.names) else "val_accuracy"

    def create_scores(self) -> Metric:
        """Returns accuracy with entity precision, recall and F1 for chunk tags, with macro F1 for others."""
        names = self.network.target.names
        return EntityScores(names) if marks_chunks(names) else ClassificationScores(len(names))

    def update_scores(self, scores: Any, decoded: Tensor, batch: Batch) -> None:
        """Adds the tags of a batch."""
        assert batch.targets is not None
        if isinstance(scores, EntityScores):
            scores.update(decoded, batch.targets, batch.tag_lengths())
        else:
            scores.update(decoded.flatten(), batch.targets.flatten())
