"""What the data modules of sequences without labels share: what is to be predicted is the next step."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

from torch.utils.data import DataLoader

from seqmodels.data.batch import Batch
from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.data_module import SequenceDataModule
from seqmodels.data.encoded import Encoded
from seqmodels.data.loader import BatchDataset, SequenceLoader, SteadyLoader, evaluation_loader
from seqmodels.data.next_step import Units, build_next_step_schema, count_units, to_next_step
from seqmodels.data.partition import Partition
from seqmodels.data.ragged import Array
from seqmodels.data.schema import Schema
from seqmodels.data.splits import Split, Splits
from seqmodels.data.statistics import DataStatistics
from seqmodels.data.store import EncodedSplit, Examples, encode_split
from seqmodels.errors import CheckpointError

PREDICT_TOKENS = 16_384  # padded steps of a batch, unless a single row is longer


class Corpus(SequenceDataModule):
    """Sequences of which each step is predicted from those before it; a subclass says how they are laid out in batches.

    Args:
        arguments: what the constructor was given, in plain types; those named below are read from it.
            `reader`, `train`, `validation`, `test`, `predict`, `tokenizer`, `validation_fraction`, `test_fraction`,
            `num_workers`, `seed`, `cache_dir`.
    """

    streams: bool  # whether batches follow one another, so that a state can be carried from one to the next

    def __init__(self, arguments: dict[str, Any]) -> None:
        splits = Splits(
            arguments["reader"],
            {split: arguments[split] for split in ("train", "validation", "test", "predict")},
            Partition(
                validation_fraction=arguments["validation_fraction"],
                test_fraction=arguments["test_fraction"],
                seed=arguments["seed"],
                contiguous=self.streams,
            ),
            cache_dir=arguments["cache_dir"],
        )
        super().__init__(arguments, splits)
        self._units: dict[Split, tuple[EncodedSplit, Units | None]] = {}  # with the columns that they are of

    # What a subclass says

    @abstractmethod
    def layout(self, split: Split, encoded: EncodedSplit, *, train: bool) -> SequenceLoader | DataLoader[Batch]:
        """Returns the loader of a split's batches."""

    @abstractmethod
    def rewrite(self, encoded: Encoded, schema: Schema) -> Encoded:
        """Returns the columns of training and evaluation splits, as `layout` wants them."""

    @abstractmethod
    def check(self, split: Split, encoded: EncodedSplit) -> None:
        """Makes sure that a split can be laid out.

        Raises:
            DataError: it is too small.
        """

    @abstractmethod
    def measure(self, split: Split) -> DataStatistics:
        """Measures a split that `setup` has encoded."""

    # Batches

    def train_dataloader(self) -> SequenceLoader | SteadyLoader:
        """Returns the loader of training batches, which can go on in the middle of an epoch."""
        return self.for_trainer(cast(SequenceLoader, self.layout("train", self._encoded["train"], train=True)))

    def val_dataloader(self) -> DataLoader[Batch] | SteadyLoader | list[Any]:
        """Returns the loader of validation batches; an empty list where there are none."""
        if "validation" not in self._encoded:
            return []
        return self.for_trainer(self.layout("validation", self._encoded["validation"], train=False))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Returns the loader of test batches."""
        return self.layout("test", self._encoded["test"], train=False)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Returns the loader of sequences to score, each by itself: `Batch.rows` tells their places."""
        encoded = self._encoded["predict"].encoded
        sampler = self.predict_sampler(encoded.steps().lengths())
        return evaluation_loader(BatchDataset(encoded), sampler, self.num_workers)

    def predict_sampler(self, lengths: Array) -> BucketSampler:
        """Returns the batches of sequences to score, of which `lengths` (rows,) are the steps."""
        return BucketSampler(lengths, max_tokens=PREDICT_TOKENS)

    # What people, tasks and writers ask for

    def units(self, split: Split) -> Units | None:
        """Returns how many tokens, words and characters of a split are predicted; None for features."""
        encoded, units = self._units.get(split, (None, None))
        if encoded is not self._encoded[split]:
            encoded = self._encoded[split]
            units = count_units(self.examples(split), len(encoded.encoded.steps().values))
            self._units[split] = encoded, units
        return units

    def statistics(self) -> list[DataStatistics]:
        """Measures each split that `setup` has encoded."""
        return [self.measure(split) for split in self._encoded]

    # Schema and columns

    def build_schema(self, train: Examples) -> Schema:
        """Returns the schema of the training data."""
        return build_next_step_schema(train, inputs=self.reader.inputs, tokenizer=self.tokenizer)

    def check_schema(self, schema: Schema) -> None:
        """Makes sure that the reader gives what the model reads.

        Raises:
            CheckpointError: the model that the schema is of reads something else.
        """
        wanted = "features" if schema.features is not None else "tokens" if schema.pretokenized else "text"
        given = self.reader.inputs
        if (wanted == "features") != (given == "features") or (wanted == "text" and given == "tokens"):
            raise CheckpointError(f"the model was trained on {wanted}, but the reader gives {given}")

    def encode(self, split: Split, schema: Schema) -> EncodedSplit:
        """Returns the columns of a split, as `layout` wants them.

        Raises:
            DataError: of the reader, or a split is too small for the batches asked for.
        """
        rewrite = to_next_step if split == "predict" else self.rewrite
        encoded = encode_split(self.examples(split), schema, targets=False, rewrite=rewrite, cache_dir=self.cache_dir)
        if split != "predict":
            self.check(split, encoded)
        return encoded
