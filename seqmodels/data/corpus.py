"""What the data modules of sequences without labels share: what is to be predicted is the next step."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

from torch.utils.data import DataLoader

from seqmodels.data.batch import Batch
from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.data_module import SequenceDataModule
from seqmodels.data.encoded import Encoded
from seqmodels.data.loader import BatchDataset, SequenceLoader, evaluation_loader
from seqmodels.data.next_step import Units, build_next_step_schema, count_units, to_next_step
from seqmodels.data.partition import Partition
from seqmodels.data.schema import Schema
from seqmodels.data.splits import Split, Splits
from seqmodels.data.statistics import DataStatistics, format_table
from seqmodels.data.store import EncodedSplit, encode_split
from seqmodels.data.tokenizer_training import tokenizer_registry
from seqmodels.errors import CheckpointError, ConfigurationError, DataError

PREDICT_BATCH_SIZE = 64


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
            ),
            cache_dir=arguments["cache_dir"],
        )
        super().__init__(arguments, splits)
        self.tokenizer = arguments["tokenizer"]
        self.num_workers = arguments["num_workers"]
        self.seed = arguments["seed"]
        self.cache_dir = arguments["cache_dir"]
        if self.num_workers < 0:
            raise ConfigurationError(f"num_workers must be at least 0, got {self.num_workers}")
        tokenizer_registry.create(self.tokenizer)
        self._encoded: dict[Split, EncodedSplit] = {}
        self._encoded_by: Schema | None = None
        self._units: dict[Split, Units | None] = {}

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

    # The flow: files, examples, schema, columns, batches

    def setup(self, stage: str | None = None) -> None:
        """Encodes the splits of a stage ("fit", "validate", "test", "predict"; None for all that are given).

        Raises:
            ConfigurationError: the stage needs data that is not given.
            DataError: of the readers; or a split is too small for the batches asked for.
            CheckpointError: the model that the schema is of reads something else than the reader gives.
        """
        if self.schema is None:
            path = None if self.trainer is None else self.trainer.ckpt_path
            if path:
                self.use_checkpoint(path)
        if self.schema is None:
            self.schema = self._build_schema()
        self._check_inputs(self.schema)
        if self.schema is not self._encoded_by:
            self._encoded.clear()
            self._encoded_by = self.schema
        for split in self.splits.of_stage(stage):
            if split not in self._encoded:
                self._encode(split, self.schema)

    def train_dataloader(self) -> SequenceLoader:
        """Returns the loader of training batches, which can go on in the middle of an epoch."""
        return cast(SequenceLoader, self.layout("train", self._encoded["train"], train=True))

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Returns the loader of validation batches; an empty list where there are none."""
        if "validation" not in self._encoded:
            return []
        return self.layout("validation", self._encoded["validation"], train=False)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Returns the loader of test batches."""
        return self.layout("test", self._encoded["test"], train=False)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Returns the loader of sequences to score, each by itself: `Batch.rows` tells their places."""
        encoded = self._encoded["predict"].encoded
        sampler = BucketSampler(encoded.steps().lengths(), batch_size=PREDICT_BATCH_SIZE)
        return evaluation_loader(BatchDataset(encoded), sampler, self.num_workers)

    # What people, tasks and writers ask for

    def encoded(self, split: Split) -> EncodedSplit:
        """Returns the columns of a split that `setup` has encoded."""
        return self._encoded[split]

    def units(self, split: Split) -> Units | None:
        """Returns how many tokens, words and characters of a split are predicted; None for features."""
        if split not in self._units:
            steps = self._encoded[split].encoded.steps()
            self._units[split] = count_units(self.examples(split), len(steps.values))
        return self._units[split]

    def statistics(self) -> list[DataStatistics]:
        """Measures each split that `setup` has encoded."""
        return [self.measure(split) for split in self._encoded]

    def describe(self) -> str:
        """Returns a table of what each split is like, once `setup` has run."""
        return format_table(self.statistics(), self.schema)

    def _build_schema(self) -> Schema:
        if not self.splits.is_given("train"):
            raise ConfigurationError(
                "the schema (vocabulary) is built from training data or comes with a checkpoint; "
                "set data.train, or give --ckpt_path (in Python: data.use_checkpoint(path))"
            )
        train = self.examples("train")
        try:
            return build_next_step_schema(train, inputs=self.reader.inputs, tokenizer=self.tokenizer)
        except DataError as error:
            raise train.located(error) from error

    def _check_inputs(self, schema: Schema) -> None:
        wanted = "features" if schema.features is not None else "tokens" if schema.pretokenized else "text"
        given = self.reader.inputs
        if (wanted == "features") != (given == "features") or (wanted == "text" and given == "tokens"):
            raise CheckpointError(f"the model was trained on {wanted}, but the reader gives {given}")

    def _encode(self, split: Split, schema: Schema) -> None:
        examples = self.examples(split)
        rewrite = to_next_step if split == "predict" else self.rewrite
        encoded = encode_split(examples, schema, targets=False, rewrite=rewrite, cache_dir=self.cache_dir)
        if split != "predict":
            self.check(split, encoded)
        self._encoded[split] = encoded
