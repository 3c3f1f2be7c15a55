"""What all data modules share: the schema, the arguments they were made of, and a description for people."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any, TypeVar

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from seqmodels.checkpoint_file import read_record
from seqmodels.data.batch import Batch
from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.loader import SequenceLoader, SteadyLoader
from seqmodels.data.schema import Schema
from seqmodels.data.splits import Split, Splits
from seqmodels.data.statistics import DataStatistics, format_table
from seqmodels.data.store import EncodedSplit, Examples
from seqmodels.data.streams import WindowSampler
from seqmodels.data.tokenizer_training import tokenizer_registry
from seqmodels.errors import ConfigurationError, DataError

Loader = TypeVar("Loader", bound=DataLoader[Batch])


class SequenceDataModule(LightningDataModule, ABC):
    """Gives batches of sequences, and the schema by which they were made.

    The schema is the one handed over (`data.schema = ...` or `use_checkpoint`), else the one of the checkpoint that
    the Trainer was told of (`trainer.ckpt_path = ...`), else it is built from the training data in `setup`.

    Args:
        arguments: what the constructor was given, in plain types; `tokenizer`, `num_workers`, `seed` and `cache_dir`
            are read from it.
        splits: the raw examples of each split.

    Attributes:
        arguments: what the constructor was given, in plain types, for the checkpoint.
        splits: the raw examples of each split.
        given: what was given for each split.
        reader: the reader of the files.
        schema: None until it is handed over or `setup` has run.
    """

    def __init__(self, arguments: dict[str, Any], splits: Splits) -> None:
        super().__init__()
        self.arguments = arguments
        self.splits = splits
        self.given = splits.given
        self.reader = splits.reader
        self.schema: Schema | None = None
        self.tokenizer = arguments["tokenizer"]
        self.num_workers = arguments["num_workers"]
        self.seed = arguments["seed"]
        self.cache_dir = arguments["cache_dir"]
        if self.num_workers < 0:
            raise ConfigurationError(f"num_workers must be at least 0, got {self.num_workers}")
        tokenizer_registry.create(self.tokenizer)
        self._encoded: dict[Split, EncodedSplit] = {}
        self._encoded_by: Schema | None = None
        self._built: Schema | None = None  # the schema of this training data, which cannot be at odds with it

    # What a subclass says

    @abstractmethod
    def build_schema(self, train: Examples) -> Schema:
        """Returns the schema of the training data.

        Raises:
            DataError: it is not as the task needs it; an `ExampleError` says in which example.
        """

    @abstractmethod
    def encode(self, split: Split, schema: Schema) -> EncodedSplit:
        """Returns the columns of a split.

        Raises:
            DataError: of the reader, or the data is of no use.
            CheckpointError: the data does not fit the model that the schema is of.
        """

    def check_schema(self, schema: Schema) -> None:
        """Makes sure that a schema handed over fits what the reader gives, before anything is encoded.

        Raises:
            CheckpointError: it does not.
        """

    @abstractmethod
    def statistics(self) -> list[DataStatistics]:
        """Measures each split that `setup` has encoded."""

    # The flow: files, examples, schema, columns

    def prepare_data(self) -> None:
        """Reads the files that the stage needs into Arrow on disk, in one process before the others."""
        stage = None if self.trainer is None else self.trainer.state.fn
        for split in self.splits.of_stage(None if stage is None else stage.value):
            self.splits.examples(split)

    def setup(self, stage: str | None = None) -> None:
        """Encodes the splits of a stage ("fit", "validate", "test", "predict"; None for all that are given).

        Raises:
            ConfigurationError: the stage needs data that is not given.
            DataError: of the readers, or the data is of no use.
            CheckpointError: the data does not fit the model that the schema handed over is of.
        """
        if self.schema is None:
            path = None if self.trainer is None else self.trainer.ckpt_path
            if path:
                self.use_checkpoint(path)
        if self.schema is None:
            self.schema = self._built = self._build_schema()
        self.check_schema(self.schema)
        if self.schema is not self._encoded_by:
            self._encoded.clear()
            self._encoded_by = self.schema
        for split in self.splits.of_stage(stage):
            if split not in self._encoded:
                self._encoded[split] = self.encode(split, self.schema)

    def _build_schema(self) -> Schema:
        if not self.splits.is_given("train"):
            raise ConfigurationError(
                "the schema (vocabulary, labels) is built from training data or comes with a checkpoint; "
                "set data.train, or give --ckpt_path (in Python: data.use_checkpoint(path))"
            )
        train = self.examples("train")
        try:
            return self.build_schema(train)
        except DataError as error:
            raise train.located(error) from error

    # What people, tasks and writers ask for

    @property
    def has_validation(self) -> bool:
        """Whether there is, or will be, data to choose the best checkpoint by."""
        return self.splits.is_given("validation")

    def examples(self, split: Split) -> Examples:
        """Returns the raw examples of a split, in the order of the files."""
        return self.splits.examples(split)

    @property
    def predict_examples(self) -> Examples:
        """The raw examples to predict, in the order of the file; row `Batch.rows[i]` belongs to the batch's row i."""
        return self.examples("predict")

    def use_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Takes the schema of a checkpoint, so that the data is encoded as its model was trained.

        Lightning does not say in time which `ckpt_path` a `fit`, `validate` or `test` was called with.

        Raises:
            CheckpointError: see `read_checkpoint`.
        """
        self.schema = Schema.from_record(read_record(path)["schema"])

    def train_loader(
        self, dataset: Dataset[Any], sampler: BucketSampler | WindowSampler, num_workers: int
    ) -> SequenceLoader:
        """Returns a loader of training batches that counts what the Trainer has trained."""
        trained = None
        if self.trainer is not None:
            loop: Any = self.trainer.fit_loop.epoch_loop
            trained = lambda: int(loop.batch_progress.current.processed)  # noqa: E731
        return SequenceLoader(dataset, sampler, num_workers=num_workers, trained=trained)

    def for_trainer(self, loader: Loader) -> Loader | SteadyLoader:
        """Returns a loader of `fit` as the Trainer can take it: of the same batches throughout, if it is to overfit."""
        overfits = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return SteadyLoader(loader) if overfits else loader

    def encoded(self, split: Split) -> EncodedSplit:
        """Returns the columns of a split that `setup` has encoded."""
        return self._encoded[split]

    def describe(self) -> str:
        """Returns a table of what each split is like, once `setup` has run."""
        return format_table(self.statistics(), self.schema)
