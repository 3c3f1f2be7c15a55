"""Classification of whole sequences as a task."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torchmetrics import Metric

from seqmodels.data.batch import Batch
from seqmodels.data.schema import Schema
from seqmodels.errors import ConfigurationError
from seqmodels.losses import balanced_class_weights, classification_loss, multilabel_loss
from seqmodels.metrics import ClassificationScores, MultilabelScores
from seqmodels.tasks.task import Task


class SequenceClassifier(Task):
    """Gives each sequence one class, or any number of classes.

    Args:
        encoder: the encoder, by name with its arguments, such as `{name: lstm, hidden_size: 256}`; the command
            `seqmodels encoders` lists them.
        embedder: the embedder's arguments: `{embedding_dim: 100, dropout: 0.3}`.
        pooling: the encoder's `final` outputs, or `mean`, `max` or `attention` over all real steps.
        dropout: fraction of the pooled vector dropped in training, in [0, 1).
        label_smoothing: fraction of the target spread over all classes, in [0, 1); for single labels.
        class_weights: weight of each class in the loss, in the order of the sorted names; `balanced` for the inverse of
            their frequency; None for equal ones.
        optimizer: makes the optimiser from the parameters; fused Adam at 0.001 where nothing is said.
        lr_scheduler: makes the learning rate schedule from the optimiser; None for a constant rate.
        monitor: the score by which the best checkpoint is chosen: val_accuracy, val_macro_f1, val_loss, or for several
            labels val_micro_f1, val_subset_accuracy; None for val_accuracy, or val_micro_f1.
    """

    network_name = "classification"
    class_weight_values: Tensor | None

    def __init__(
        self,
        encoder: str | dict[str, Any] = "lstm",
        embedder: str | dict[str, Any] = "embedding",
        pooling: Literal["final", "mean", "max", "attention"] = "final",
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: Literal["balanced"] | list[float] | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3, fused=True),
        lr_scheduler: LRSchedulerCallable | None = None,
        monitor: str | None = None,
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ConfigurationError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        super().__init__(
            {"encoder": encoder, "embedder": embedder, "pooling": pooling, "dropout": dropout},
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            monitor=monitor,
            label_smoothing=label_smoothing,
            class_weights=class_weights,
        )
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights

    def _build(self, schema: Schema) -> None:
        super()._build(schema)
        target = self.network.target
        weights = self.class_weights
        chosen: Tensor | None
        if weights == "balanced":
            chosen = balanced_class_weights(torch.tensor(target.counts, dtype=torch.float32))
        elif weights is not None and len(weights) != len(target.names):
            raise ConfigurationError(
                f"class_weights needs {len(target.names)} numbers, one for each of {', '.join(target.names)}, "
                f"got {len(weights)}"
            )
        else:
            chosen = None if weights is None else torch.tensor(weights)
        self.register_buffer("class_weight_values", chosen, persistent=False)

    def loss(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean cross-entropy over the rows, in nats."""
        assert batch.targets is not None
        if self.network.target.kind == "labels":
            loss = multilabel_loss(logits, batch.targets, self.class_weight_values)
            return loss, torch.tensor(batch.size, device=loss.device)
        loss = classification_loss(logits, batch.targets, self.class_weight_values, self.label_smoothing)
        return loss, (batch.targets >= 0).sum()

    def default_monitor(self, schema: Schema) -> str:
        """Returns the accuracy, or micro F1 where several labels are allowed."""
        return "val_micro_f1" if schema.target and schema.target.kind == "labels" else "val_accuracy"

    def create_scores(self) -> Metric:
        """Returns accuracy and macro F1, or micro and macro F1 where several labels are allowed."""
        size = len(self.network.target.names)
        return MultilabelScores(size) if self.network.target.kind == "labels" else ClassificationScores(size)
