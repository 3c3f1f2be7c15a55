"""Parting the training rows into training, validation and test rows, by fractions and folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqmodels.data.ragged import Array
from seqmodels.errors import ConfigurationError


class Partition:
    """Which rows of the training data serve for validation and test instead; the same for the same seed.

    Args:
        validation_fraction: the part of the rows (left by `folds`) for validation; None for none.
        test_fraction: the part of the rows for test; None for none.
        folds: number of parts of equal size, of which one is for test; None for none.
        fold: which of them, from 0.
        seed: of the choice.
        contiguous: whether validation and test are the last rows, in this order, rather than some of all; not with
            folds. Rows that follow from one another stay together then.

    Raises:
        ConfigurationError: a fraction or fold is out of range, or they do not fit one another.
    """

    def __init__(
        self,
        *,
        validation_fraction: float | None = None,
        test_fraction: float | None = None,
        folds: int | None = None,
        fold: int = 0,
        seed: int = 0,
        contiguous: bool = False,
    ) -> None:
        self.fractions = {"test": test_fraction, "validation": validation_fraction}
        for split, fraction in self.fractions.items():
            if fraction is not None and not 0 < fraction < 1:
                raise ConfigurationError(f"{split}_fraction must be between 0 and 1, got {fraction}")
        if sum(fraction or 0 for fraction in self.fractions.values()) >= 1:
            raise ConfigurationError("validation_fraction and test_fraction together must leave rows to train on")
        if folds is not None and folds < 2:
            raise ConfigurationError(f"folds must be at least 2, got {folds}")
        if folds is not None and test_fraction is not None:
            raise ConfigurationError("with folds, one fold is the test data; give neither test nor test_fraction")
        if folds is None and fold != 0:
            raise ConfigurationError(f"fold: {fold} needs folds, the number of parts")
        if folds is not None and not 0 <= fold < folds:
            raise ConfigurationError(f"fold must be from 0 to {folds - 1} with folds: {folds}, got {fold}")
        self.folds = folds
        self.fold = fold
        self.seed = seed
        self.contiguous = contiguous

    def makes(self, split: str) -> bool:
        """Tells whether "validation" or "test" rows are taken from the training rows."""
        return self.fractions.get(split) is not None or (split == "test" and self.folds is not None)

    def rows(self, count: int, labels: Sequence[str] | None = None) -> dict[str, Array]:
        """Returns the rows of each split, in ascending order; of "train" alone where nothing is to be parted.

        Args:
            count: number of rows.
            labels: (rows,) the label of each, which folds then spread evenly.
        """
        random = np.random.default_rng(self.seed)
        parts: dict[str, Array] = {}
        left = np.arange(count)
        if self.folds is not None:
            fold_of_row = self._deal(count, labels, random)
            parts["test"], left = left[fold_of_row == self.fold], left[fold_of_row != self.fold]
        available = len(left)
        left = left if self.contiguous else random.permutation(left)
        for split, fraction in self.fractions.items():
            if fraction is not None:
                size = max(1, round(fraction * available))
                parts[split], left = (left[-size:], left[:-size]) if self.contiguous else (left[:size], left[size:])
        parts["train"] = left
        return {split: np.sort(part) for split, part in parts.items()}

    def _deal(self, count: int, labels: Sequence[str] | None, random: np.random.Generator) -> Array:
        """Deals the rows out to folds, label by label; (rows,) fold of each."""
        assert self.folds is not None
        order = random.permutation(count)
        if labels is not None:
            numbers = np.unique(np.array(labels), return_inverse=True)[1]
            order = order[np.argsort(numbers[order], kind="stable")]
        fold_of_row = np.empty(count, dtype=np.int64)
        fold_of_row[order] = np.arange(count) % self.folds
        return fold_of_row
