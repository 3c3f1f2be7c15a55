"""What all data modules share: the schema, the arguments they were made of, and a description for people."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any

from lightning.pytorch import LightningDataModule

from seqmodels.checkpoint_file import read_record
from seqmodels.data.schema import Schema


class SequenceDataModule(LightningDataModule, ABC):
    """Gives batches of sequences, and the schema by which they were made.

    The schema is the one handed over (`data.schema = ...` or `use_checkpoint`), else the one of the checkpoint that
    the Trainer was told of (`trainer.ckpt_path = ...`), else it is built from the training data in `setup`.

    Attributes:
        arguments: what the constructor was given, in plain types, for the checkpoint.
        schema: None until it is handed over or `setup` has run.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments
        self.schema: Schema | None = None

    def use_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Takes the schema of a checkpoint, so that the data is encoded as its model was trained.

        Lightning does not say in time which `ckpt_path` a `fit`, `validate` or `test` was called with.

        Raises:
            CheckpointError: see `read_checkpoint`.
        """
        self.schema = Schema.from_record(read_record(path)["schema"])

    @property
    @abstractmethod
    def has_validation(self) -> bool:
        """Whether there is, or will be, data to choose the best checkpoint by."""

    @abstractmethod
    def describe(self) -> str:
        """Returns a table of what each split is like, once `setup` has run."""
