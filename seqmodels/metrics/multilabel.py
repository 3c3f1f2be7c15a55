"""F1 and subset accuracy of any number of labels for each sequence."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from seqmodels.errors import ConfigurationError
from seqmodels.metrics.ratios import f1, macro_f1, ratio


class MultilabelScores(Metric):
    """Scores sets of labels.

    `micro_f1` is of all decisions together, `macro_f1` the mean over the labels that occur, in gold or predicted,
    `subset_accuracy` the share of rows of which every label is right.

    Args:
        num_labels: how many labels there are.
        threshold: the probability from which a label counts as predicted, in (0, 1).

    Raises:
        ConfigurationError: `num_labels` is not positive, or `threshold` is out of range.
    """

    full_state_update = False
    correct: Tensor
    predicted: Tensor
    gold: Tensor
    exact: Tensor
    rows: Tensor

    def __init__(self, num_labels: int, threshold: float = 0.5) -> None:
        super().__init__()
        if num_labels < 1:
            raise ConfigurationError(f"MultilabelScores: num_labels must be a positive integer, got {num_labels}")
        if not 0 < threshold < 1:
            raise ConfigurationError(f"MultilabelScores: threshold must be in (0, 1), got {threshold}")
        self.threshold = threshold
        for name in ("correct", "predicted", "gold"):  # of each label
            self.add_state(name, torch.zeros(num_labels, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("exact", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, targets: Tensor) -> None:
        """Counts a batch.

        Args:
            probabilities: (batch, labels), or the decisions themselves as 0 and 1.
            targets: (batch, labels), 1 present, 0 absent, negative not scored.
        """
        scored = targets >= 0
        predicted = (probabilities >= self.threshold) & scored
        gold = targets > 0
        self.correct = self.correct + (predicted & gold).sum(0)
        self.predicted = self.predicted + predicted.sum(0)
        self.gold = self.gold + gold.sum(0)
        self.exact = self.exact + (predicted == gold).all(1).sum()
        self.rows = self.rows + targets.size(0)

    def compute(self) -> dict[str, Tensor]:
        """Returns `micro_f1`, `macro_f1` and `subset_accuracy`, scalars in [0, 1]."""
        return {
            "micro_f1": f1(self.correct.sum(), self.predicted.sum(), self.gold.sum()),
            "macro_f1": macro_f1(self.correct, self.predicted, self.gold),
            "subset_accuracy": ratio(self.exact, self.rows),
        }
