"""What the data modules share whose batches are rows of like length."""

from __future__ import annotations

import warnings
from typing import Any

from torch.utils.data import DataLoader

from seqmodels.data.batch import Batch
from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.data_module import SequenceDataModule
from seqmodels.data.loader import BatchDataset, SequenceLoader, SteadyLoader, evaluation_loader
from seqmodels.data.splits import Split, Splits, warn
from seqmodels.data.statistics import DataStatistics, describe
from seqmodels.data.store import EncodedSplit
from seqmodels.errors import ConfigurationError

BATCH_SIZE = 32
FEW_TOKENS = 20  # of which the share of unknown ones tells nothing


class BucketedSequences(SequenceDataModule):
    """Rows that have nothing to do with one another, padded and batched with others of like length.

    Args:
        arguments: what the constructor was given, in plain types; `batch_size` and `max_tokens` are read from it too.
        splits: the raw examples of each split.
    """

    def __init__(self, arguments: dict[str, Any], splits: Splits) -> None:
        super().__init__(arguments, splits)
        self.batch_size = arguments["batch_size"]
        self.max_tokens = arguments["max_tokens"]
        for name in ("batch_size", "max_tokens"):
            value = arguments[name]
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {value}")

    def setup(self, stage: str | None = None) -> None:
        """Encodes the splits of a stage, as every data module does."""
        if stage == "fit" and self.max_tokens is not None and self.batch_size != BATCH_SIZE:
            warn(f"batch_size: {self.batch_size} is not used with max_tokens: {self.max_tokens}; leave one of them out")
        super().setup(stage)

    def train_dataloader(self) -> SequenceLoader | SteadyLoader:
        """Returns the loader of training batches, reshuffled in every epoch, which can go on in the middle of one."""
        dataset = BatchDataset(self._encoded["train"].encoded)
        return self.for_trainer(self.train_loader(dataset, self.sampler("train"), self._workers()))

    def val_dataloader(self) -> DataLoader[Batch] | SteadyLoader | list[Any]:
        """Returns the loader of validation batches, the longest rows first; an empty list where there are none."""
        return self.for_trainer(self._evaluation_loader("validation")) if "validation" in self._encoded else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Returns the loader of test batches, the longest rows first."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Returns the loader of batches to predict, the longest rows first: `Batch.rows` tells their places."""
        return self._evaluation_loader("predict")

    def sampler(self, split: Split) -> BucketSampler:
        """Returns a new sampler of a split that `setup` has encoded."""
        return BucketSampler(
            self._encoded[split].encoded.sides(),
            batch_size=self.batch_size,
            max_tokens=self.max_tokens,
            shuffle=split == "train",
            seed=self.seed,
            rows=self._encoded[split].kept,
        )

    def statistics(self) -> list[DataStatistics]:
        """Measures each split that `setup` has encoded."""
        assert self.schema is not None
        return [describe(split, encoded, self.schema, self.sampler(split)) for split, encoded in self._encoded.items()]

    def _evaluation_loader(self, split: Split) -> DataLoader[Batch]:
        return evaluation_loader(BatchDataset(self._encoded[split].encoded), self.sampler(split), self._workers())

    def _workers(self) -> int:
        if self.num_workers == 0:  # right for text: a batch takes less time than handing it over does
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        return int(self.num_workers)


def judge_tokens(encoded: EncodedSplit) -> None:
    """Warns of data to predict that can hardly be of the kind that the model was trained on."""
    unknown, tokens = encoded.unknown_tokens, len(encoded.encoded.steps().values)
    if tokens >= FEW_TOKENS and unknown > tokens / 2:
        warn(
            f"predict: {100 * unknown / tokens:.0f}% of the {tokens} tokens are unknown to the model; "
            f"expected data as in training (language, columns, spelling)"
        )
