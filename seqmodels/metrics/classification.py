"""Accuracy, macro F1 and the confusion matrix of one class out of many."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from seqmodels.data.encoded import IGNORED
from seqmodels.errors import ConfigurationError
from seqmodels.metrics.ratios import macro_f1, ratio

MATRIX_LIMIT = 256
"""Up to how many labels the confusion matrix is kept; beyond, its square would cost more than the model's batch."""


class ClassificationScores(Metric):
    """Scores predicted classes, of sequences or of the tokens of sequences.

    `accuracy` is correct / scored. `macro_f1` is the mean F1 over the labels that occur, in gold or predicted, as
    scikit-learn has it by default. A gold label that is `UNSEEN` is wrong whatever is predicted: it counts in the
    accuracy and against the precision of what was predicted, but is no class of the macro F1. `IGNORED` ones are left
    out.

    Args:
        num_labels: how many labels there are.

    Raises:
        ConfigurationError: `num_labels` is not positive.
    """

    full_state_update = False
    correct: Tensor
    predicted: Tensor
    gold: Tensor
    scored: Tensor
    matrix: Tensor

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        if num_labels < 1:
            raise ConfigurationError(f"ClassificationScores: num_labels must be a positive integer, got {num_labels}")
        self.num_labels = num_labels
        self.has_matrix = num_labels <= MATRIX_LIMIT
        for name in ("correct", "predicted", "gold"):  # of each label
            self.add_state(name, torch.zeros(num_labels, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("scored", torch.tensor(0), dist_reduce_fx="sum")
        cells = num_labels**2 if self.has_matrix else 0
        self.add_state("matrix", torch.zeros(cells, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Counts predicted and gold ids, both (...) int64 of one shape."""
        predictions, targets = predictions.flatten(), targets.flatten()
        scored = (targets != IGNORED).long()
        known = (targets >= 0).long()
        right = (predictions == targets).long() * known
        labels = targets.clamp(min=0)
        predictions = predictions.clamp(min=0)
        # adding zeros and ones by index: bincount and boolean indexing would wait for the device
        self.correct = self.correct.index_add(0, labels, right)
        self.predicted = self.predicted.index_add(0, predictions, scored)
        self.gold = self.gold.index_add(0, labels, known)
        self.scored = self.scored + scored.sum()
        if self.has_matrix:
            self.matrix = self.matrix.index_add(0, labels * self.num_labels + predictions, known)

    def compute(self) -> dict[str, Tensor]:
        """Returns `accuracy` and `macro_f1`, scalars in [0, 1]."""
        return {
            "accuracy": ratio(self.correct.sum(), self.scored),
            "macro_f1": macro_f1(self.correct, self.predicted, self.gold),
        }

    def confusion_matrix(self) -> Tensor:
        """Returns the counts (gold label, predicted label) int64, of all ranks, so that every rank must call it.

        Raises:
            ConfigurationError: there are too many labels for one.
        """
        if not self.has_matrix:
            raise ConfigurationError(
                f"the confusion matrix is kept for up to {MATRIX_LIMIT} labels, these are {self.num_labels}"
            )
        with self.sync_context(should_sync=not self._is_synced):
            return self.matrix.view(self.num_labels, self.num_labels).clone()
