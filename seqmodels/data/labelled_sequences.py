"""The data module of sequences that each have a label, several, or one for each token."""

from __future__ import annotations

import warnings
from typing import Any, Literal, cast

import numpy as np
from torch.utils.data import DataLoader

from seqmodels.data.batch import Batch
from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.data_module import SequenceDataModule
from seqmodels.data.loader import BatchDataset, SequenceLoader, evaluation_loader
from seqmodels.data.partition import Partition
from seqmodels.data.ragged import Ragged
from seqmodels.data.readers import Example
from seqmodels.data.schema import Schema, Target, TargetKind, build_schema
from seqmodels.data.splits import Split, Splits, warn
from seqmodels.data.statistics import DataStatistics, describe, format_table
from seqmodels.data.store import EncodedSplit, encode_split
from seqmodels.data.tokenizer_training import tokenizer_registry
from seqmodels.errors import CheckpointError, ConfigurationError, DataError
from seqmodels.tags import bio_to_iobes, iobes_to_bio, odd_tags

BATCH_SIZE = 32
FEW_TOKENS = 20  # of which the share of unknown ones tells nothing


class LabelledSequences(SequenceDataModule):
    """Sequences from files, for classification and tagging.

    Each of `train`, `validation` and `test` is a path, a list of paths that are joined, or a mapping with `path` and
    arguments of the reader that differ in that split: `{path: data.fasta, where: [train]}`. Paths may hold `~` and
    `$VARIABLES`. No file is opened before `setup`.

    Args:
        reader: the file format: a reader's name, or a mapping of `name` and its arguments.
        train: training data.
        validation: validation data.
        test: test data.
        predict: data to predict, whose targets are not read; None or `-` is standard input.
        tokenizer: how text is split or words are looked up: a tokenizer's name, or `name` and its arguments.
        characters: whether the characters of each word are an input beside it.
        batch_size: rows a batch.
        max_tokens: steps a batch, padding included, instead of `batch_size`.
        validation_fraction: this fraction of the training rows becomes the validation data where none is given.
        test_fraction: this fraction of the training rows becomes the test data where none is given.
        folds: the training rows are parted into so many folds, of which one is the test data (by single label, each
            label is spread evenly).
        fold: which of them, from 0.
        tag_scheme: rewrites chunk tags as "bio" or "iobes"; None leaves them as they are.
        max_length: longer rows of the training data are cut to so many steps; others are always read in full.
        num_workers: processes that fill batches; 0, in this one, is fastest for text.
        seed: of shuffling and of fractions and folds.
        cache_dir: where examples are kept once read; None for `$SEQMODELS_CACHE` or `~/.cache/seqmodels`.

    Raises:
        ConfigurationError: an argument is out of range or does not fit the others, or a reader or tokenizer, or an
            argument of theirs, is unknown.
    """

    def __init__(
        self,
        reader: str | dict[str, Any],
        train: str | list[str] | dict[str, Any] | None = None,
        validation: str | list[str] | dict[str, Any] | None = None,
        test: str | list[str] | dict[str, Any] | None = None,
        predict: str | None = None,
        tokenizer: str | dict[str, Any] = "word",
        characters: bool = False,
        batch_size: int = BATCH_SIZE,
        max_tokens: int | None = None,
        validation_fraction: float | None = None,
        test_fraction: float | None = None,
        folds: int | None = None,
        fold: int = 0,
        tag_scheme: Literal["bio", "iobes"] | None = None,
        max_length: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.tag_scheme = tag_scheme
        splits = Splits(
            reader,
            {"train": train, "validation": validation, "test": test, "predict": predict},
            Partition(
                validation_fraction=validation_fraction, test_fraction=test_fraction, folds=folds, fold=fold, seed=seed
            ),
            cache_dir=cache_dir,
            convert=None if tag_scheme is None else self._convert,
            conversion=str(tag_scheme),
        )
        super().__init__(arguments, splits)
        self.tokenizer = tokenizer
        self.characters = characters
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.max_length = max_length
        self.num_workers = num_workers
        self.seed = seed
        self.cache_dir = cache_dir
        self._encoded: dict[Split, EncodedSplit] = {}
        self._encoded_by: Schema | None = None
        self._built: Schema | None = None  # the schema of this training data, which cannot be at odds with it
        self._check()

    def _check(self) -> None:
        for name in ("batch_size", "max_tokens", "max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {value}")
        if self.num_workers < 0:
            raise ConfigurationError(f"num_workers must be at least 0, got {self.num_workers}")
        if self.tag_scheme is not None and self.reader.targets not in ("tags", None):
            raise ConfigurationError(
                f"tag_scheme: {self.tag_scheme} rewrites tags, but the reader gives {self.reader.targets}"
            )
        tokenizer_registry.create(self.tokenizer)

    # The flow: files, examples, schema, columns, batches

    def setup(self, stage: str | None = None) -> None:
        """Encodes the splits of a stage ("fit", "validate", "test", "predict"; None for all that are given).

        Raises:
            ConfigurationError: the stage needs data that is not given.
            DataError: of the readers; or no label of an evaluation split is known.
            CheckpointError: training data has labels that the schema handed over does not know.
        """
        if self.schema is None:
            path = None if self.trainer is None else self.trainer.ckpt_path
            if path:
                self.use_checkpoint(path)
        if self.schema is None:
            self.schema = self._built = self._build_schema()
        if self.schema is not self._encoded_by:
            self._encoded.clear()
            self._encoded_by = self.schema
        if stage == "fit" and self.max_tokens is not None and self.batch_size != BATCH_SIZE:
            warn(f"batch_size: {self.batch_size} is not used with max_tokens: {self.max_tokens}; leave one of them out")
        for split in self.splits.of_stage(stage):
            if split not in self._encoded:
                self._encode(split, self.schema)

    def train_dataloader(self) -> SequenceLoader:
        """Returns the loader of training batches, reshuffled in every epoch, which can go on in the middle of one."""
        dataset = BatchDataset(self._encoded["train"].encoded)
        return self.train_loader(dataset, self.sampler("train"), self._workers())

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Returns the loader of validation batches, the longest rows first; an empty list where there are none."""
        return self._evaluation_loader("validation") if "validation" in self._encoded else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Returns the loader of test batches, the longest rows first."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Returns the loader of batches to predict, the longest rows first: `Batch.rows` tells their places."""
        return self._evaluation_loader("predict")

    def encoded(self, split: Split) -> EncodedSplit:
        """Returns the columns of a split that `setup` has encoded."""
        return self._encoded[split]

    def sampler(self, split: Split) -> BucketSampler:
        """Returns a new sampler of a split that `setup` has encoded."""
        return BucketSampler(
            self._encoded[split].encoded.steps().lengths(),
            batch_size=self.batch_size,
            max_tokens=self.max_tokens,
            shuffle=split == "train",
            seed=self.seed,
        )

    # What people and writers ask for

    def statistics(self) -> list[DataStatistics]:
        """Measures each split that `setup` has encoded."""
        assert self.schema is not None
        return [describe(split, encoded, self.schema, self.sampler(split)) for split, encoded in self._encoded.items()]

    def describe(self) -> str:
        """Returns a table of what each split is like, once `setup` has run."""
        return format_table(self.statistics(), self.schema)

    # Schema and columns

    def _convert(self, example: Example) -> Example:
        if "tags" in example:
            rewrite = bio_to_iobes if self.tag_scheme == "iobes" else iobes_to_bio
            example["tags"] = rewrite(example["tags"])
        return example

    def _build_schema(self) -> Schema:
        if not self.splits.is_given("train"):
            raise ConfigurationError(
                "the schema (vocabulary, labels) is built from training data or comes with a checkpoint; "
                "set data.train, or give --ckpt_path (in Python: data.use_checkpoint(path))"
            )
        train = self.examples("train")
        try:
            schema = build_schema(
                train,
                inputs=self.reader.inputs,
                target=cast("TargetKind | None", self.reader.targets),
                tokenizer=self.tokenizer,
                characters=self.characters,
            )
        except DataError as error:
            raise train.located(error) from error
        if schema.target:
            _judge_target(schema.target)
        return schema

    def _encode(self, split: Split, schema: Schema) -> None:
        examples = self.examples(split)
        encoded = encode_split(
            *(examples, schema),
            targets=split != "predict",
            max_length=self.max_length if split == "train" else None,
            cache_dir=self.cache_dir,
        )
        if encoded.unseen and schema.target:
            self._judge_unseen(split, encoded, schema, examples.origin)
        if split == "predict" and schema.tokens:
            _judge_tokens(encoded.unknown_tokens, int(encoded.encoded.steps().lengths().sum()))
        if encoded.truncated:
            warn(
                f"{split}: {encoded.truncated} of {len(examples)} rows were cut to max_length: {self.max_length} steps"
            )
        self._encoded[split] = encoded

    def _judge_unseen(self, split: Split, encoded: EncodedSplit, schema: Schema, origin: str) -> None:
        """Refuses new labels in training data, warns of them elsewhere, refuses data of which no label is known."""
        assert schema.target
        kind = "tags" if schema.target.kind == "tags" else "labels"
        names = sorted(encoded.unseen)
        known = len(schema.target.names)
        if split == "train" and schema is not self._built:
            raise CheckpointError(
                f"checkpoint was trained with {known} {kind}, the data has {known + len(names)}: {_enumerate(names)} "
                f"{'is' if len(names) == 1 else 'are'} new"
            )
        if not _knows_any(encoded):
            raise DataError(
                f"{origin}: none of its {kind} is among the {known} of training: found {_enumerate(names)}, "
                f"expected {_enumerate(schema.target.names)}"
            )
        count = sum(encoded.unseen.values())
        warn(
            f"{split}: {count} {f'{kind[:-1]} is' if count == 1 else f'{kind} are'} not in training and always counted "
            "wrong: " + ", ".join(f"{name} ({count}x)" for name, count in encoded.unseen.most_common(10))
        )

    def _evaluation_loader(self, split: Split) -> DataLoader[Batch]:
        return evaluation_loader(BatchDataset(self._encoded[split].encoded), self.sampler(split), self._workers())

    def _workers(self) -> int:
        if self.num_workers == 0:  # right for text: a batch takes less time than handing it over does
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        return self.num_workers


def _judge_target(target: Target) -> None:
    """Warns of targets of training data that are hardly meant as they are."""
    kind = "tag" if target.kind == "tags" else "label"
    if len(target.names) == 1 and target.kind != "labels":  # having one of several labels, or not, can be learnt
        warn(f"the training data has one {kind} only: {target.names[0]}; there is nothing to learn")
    odd = odd_tags(dict(zip(target.names, target.counts, strict=True))) if target.kind == "tags" else {}
    if odd:
        listed = ", ".join(f"{name} ({count}x)" for name, count in sorted(odd.items(), key=lambda item: -item[1])[:10])
        more = f" and {len(odd) - 10} more" if len(odd) > 10 else ""
        warn(
            f"tags look like BIO except {listed}{more}: entity F1 and constraints need all of them to mark chunks; "
            f"mend them in the training data"
        )


def _judge_tokens(unknown: int, tokens: int) -> None:
    """Warns of data to predict that can hardly be of the kind that the model was trained on."""
    if tokens >= FEW_TOKENS and unknown > tokens / 2:
        warn(
            f"predict: {100 * unknown / tokens:.0f}% of the {tokens} tokens are unknown to the model; "
            f"expected data as in training (language, columns, spelling)"
        )


def _knows_any(encoded: EncodedSplit) -> bool:
    """Tells whether any target of a split is one that training had."""
    targets = encoded.encoded.targets
    assert targets is not None
    values = targets.values if isinstance(targets, Ragged) else targets
    least = 1 if values.dtype == np.float32 else 0  # of several labels, 0 is one that the row does not have
    return bool((values >= least).any())


def _enumerate(names: tuple[str, ...] | list[str], most: int = 10) -> str:
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "none"
