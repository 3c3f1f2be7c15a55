"""What all data modules share: the schema, the arguments they were made of, and a description for people."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import Dataset

from seqmodels.checkpoint_file import read_record
from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.loader import SequenceLoader
from seqmodels.data.schema import Schema
from seqmodels.data.splits import Split, Splits
from seqmodels.data.store import Examples
from seqmodels.data.streams import WindowSampler


class SequenceDataModule(LightningDataModule, ABC):
    """Gives batches of sequences, and the schema by which they were made.

    The schema is the one handed over (`data.schema = ...` or `use_checkpoint`), else the one of the checkpoint that
    the Trainer was told of (`trainer.ckpt_path = ...`), else it is built from the training data in `setup`.

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

    def prepare_data(self) -> None:
        """Reads the files that the stage needs into Arrow on disk, in one process before the others."""
        stage = None if self.trainer is None else self.trainer.state.fn
        for split in self.splits.of_stage(None if stage is None else stage.value):
            self.splits.examples(split)

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

    @abstractmethod
    def describe(self) -> str:
        """Returns a table of what each split is like, once `setup` has run."""
