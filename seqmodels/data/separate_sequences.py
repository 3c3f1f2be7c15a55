"""The data module of sequences that have nothing to do with one another, for stateless training."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader

from seqmodels.data.batch import Batch
from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.corpus import Corpus
from seqmodels.data.encoded import Encoded
from seqmodels.data.loader import BatchDataset, SequenceLoader, evaluation_loader
from seqmodels.data.next_step import to_next_step
from seqmodels.data.ragged import Array
from seqmodels.data.schema import Schema
from seqmodels.data.splits import Split
from seqmodels.data.statistics import DataStatistics, describe
from seqmodels.data.store import EncodedSplit
from seqmodels.errors import ConfigurationError


class SeparateSequences(Corpus):
    """Sentences, functions or pieces of music, each a sequence of its own, padded and batched with others of like size.

    Every step is predicted from those before it in its own sequence: the first from nothing, and of a text also its
    end. The rows are shuffled, so no state is carried from batch to batch.

    Args:
        reader: the file format: a reader's name, or a mapping of `name` and its arguments.
        train: training data: a path, a list of paths that are joined, or a mapping with `path` and arguments of the
            reader that differ in that split.
        validation: validation data.
        test: test data.
        predict: sequences to score; None or `-` is standard input.
        tokenizer: how text is split or words are looked up: a tokenizer's name, or `name` and its arguments.
        batch_size: rows a batch.
        max_tokens: steps a batch, padding included, instead of `batch_size`.
        validation_fraction: this fraction of the training rows becomes the validation data where none is given.
        test_fraction: this fraction of the training rows becomes the test data where none is given.
        num_workers: processes that fill batches; 0, in this one, is fastest for text.
        seed: of shuffling and of fractions.
        cache_dir: where examples are kept once read; None for `$SEQMODELS_CACHE` or `~/.cache/seqmodels`.

    Raises:
        ConfigurationError: an argument is out of range or does not fit the others, or a reader or tokenizer, or an
            argument of theirs, is unknown.
    """

    streams = False

    def __init__(
        self,
        reader: str | dict[str, Any] = "text",
        train: str | list[str] | dict[str, Any] | None = None,
        validation: str | list[str] | dict[str, Any] | None = None,
        test: str | list[str] | dict[str, Any] | None = None,
        predict: str | None = None,
        tokenizer: str | dict[str, Any] = "word",
        batch_size: int = 32,
        max_tokens: int | None = None,
        validation_fraction: float | None = None,
        test_fraction: float | None = None,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__({name: value for name, value in locals().items() if name not in ("self", "__class__")})
        for name, size in {"batch_size": batch_size, "max_tokens": max_tokens}.items():
            if size is not None and size < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {size}")
        self.batch_size = batch_size
        self.max_tokens = max_tokens

    def rewrite(self, encoded: Encoded, schema: Schema) -> Encoded:
        """Returns each row as inputs and targets."""
        return to_next_step(encoded, schema)

    def check(self, split: Split, encoded: EncodedSplit) -> None:
        """Does nothing: one row is enough."""

    def layout(self, split: Split, encoded: EncodedSplit, *, train: bool) -> SequenceLoader | DataLoader[Batch]:
        """Returns the loader of a split's rows."""
        dataset, sampler = BatchDataset(encoded.encoded), self.sampler(split)
        make = self.train_loader if train else evaluation_loader
        return make(dataset, sampler, self.num_workers)

    def sampler(self, split: Split) -> BucketSampler:
        """Returns a new sampler of a split that `setup` has encoded."""
        return BucketSampler(
            self._encoded[split].encoded.steps().lengths(),
            batch_size=self.batch_size,
            max_tokens=self.max_tokens,
            shuffle=split == "train",
            seed=self.seed,
        )

    def predict_sampler(self, lengths: Array) -> BucketSampler:
        """Returns the batches of sequences to score: as large as those of training."""
        return BucketSampler(lengths, batch_size=self.batch_size, max_tokens=self.max_tokens)

    def measure(self, split: Split) -> DataStatistics:
        """Measures a split."""
        assert self.schema is not None
        return describe(split, self._encoded[split], self.schema, self.sampler(split))
