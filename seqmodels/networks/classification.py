"""Classification of whole sequences: one class, or any number of classes."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqmodels.data.batch import Batch
from seqmodels.data.schema import Schema
from seqmodels.errors import ConfigurationError
from seqmodels.networks.network import Network, register_network
from seqmodels.pooling import create_pooling
from seqmodels.registry import Spec


@register_network("classification")
class ClassificationNetwork(Network):
    """Pools the encoder's outputs over time and maps them to one logit for each class.

    Args:
        schema: target kind "label" (softmax over the classes) or "labels" (a sigmoid for each).
        encoder: the encoder, by name with its arguments.
        embedder: the embedder, by name with its arguments.
        pooling: the encoder's summary (`final`), or `mean`, `max` or `attention` over the real steps.
        dropout: fraction of the pooled vector dropped in training, in [0, 1).
    """

    def __init__(
        self,
        schema: Schema,
        *,
        encoder: Spec = "lstm",
        embedder: Spec = "embedding",
        pooling: Literal["final", "mean", "max", "attention"] = "final",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(schema, encoder=encoder, embedder=embedder)
        if self.target.kind == "tags":
            raise ConfigurationError(
                "classification needs one label a sequence, but the data has tags; use SequenceTagger"
            )
        self.pooling = create_pooling(pooling, self.encoder.output_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(self.encoder.output_size, len(self.target.names))

    def forward(self, batch: Batch) -> Tensor:
        """Returns logits (batch, labels)."""
        outputs, _ = self.encode(batch)  # (batch, time, output_size)
        pooled = self.pooling(self.encoder, outputs, batch.lengths)  # (batch, output_size)
        return self.output(self.dropout(pooled))  # type: ignore[no-any-return]

    def decode(self, logits: Tensor, batch: Batch) -> Tensor:
        """Returns the likeliest class (batch,), or 0 and 1 (batch, labels) where several are allowed."""
        return (logits > 0).long() if self.target.kind == "labels" else logits.argmax(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Returns probabilities (batch, labels): they sum to one over the classes, or are one for each label."""
        logits = logits.float()
        return torch.sigmoid(logits) if self.target.kind == "labels" else torch.softmax(logits, dim=1)

    def results(self, logits: Tensor, batch: Batch) -> list[dict[str, Any]]:
        """Returns `label` (or `labels`) and `probabilities` by name for each row."""
        names = self.target.names
        rows = []
        for chosen, probabilities in zip(
            self.decode(logits, batch).tolist(), self.probabilities(logits).tolist(), strict=True
        ):
            by_name = {name: round(value, 6) for name, value in zip(names, probabilities, strict=True)}
            if self.target.kind == "labels":
                rows.append(
                    {"labels": [name for name, one in zip(names, chosen, strict=True) if one], "probabilities": by_name}
                )
            else:
                rows.append({"label": names[chosen], "probabilities": by_name})
        return rows
