"""The data module of sequences that each have a label, several, or one for each token."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np

from seqmodels.data.bucketed_sequences import BATCH_SIZE, BucketedSequences, judge_tokens
from seqmodels.data.partition import Partition
from seqmodels.data.ragged import Ragged
from seqmodels.data.readers import Example
from seqmodels.data.schema import Schema, Target, TargetKind, build_schema
from seqmodels.data.splits import Split, Splits, warn
from seqmodels.data.store import EncodedSplit, Examples, encode_split
from seqmodels.errors import CheckpointError, ConfigurationError, DataError
from seqmodels.tags import bio_to_iobes, iobes_to_bio, odd_tags


class LabelledSequences(BucketedSequences):
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
        self.characters = characters
        self.max_length = max_length
        if max_length is not None and max_length < 1:
            raise ConfigurationError(f"max_length must be at least 1, got {max_length}")
        self._check_targets()

    def _check_targets(self) -> None:
        if self.reader.targets == "target_text":
            raise ConfigurationError(
                "the reader gives target_text, a text to be written for each that is read; use data: SequencePairs"
            )
        if self.tag_scheme is not None and self.reader.targets not in ("tags", None):
            raise ConfigurationError(
                f"tag_scheme: {self.tag_scheme} rewrites tags, but the reader gives {self.reader.targets}"
            )

    # Schema and columns

    def _convert(self, example: Example) -> Example:
        if "tags" in example:
            rewrite = bio_to_iobes if self.tag_scheme == "iobes" else iobes_to_bio
            example["tags"] = rewrite(example["tags"])
        return example

    def build_schema(self, train: Examples) -> Schema:
        """Returns the schema of the training data."""
        schema = build_schema(
            train,
            inputs=self.reader.inputs,
            target=cast("TargetKind | None", self.reader.targets),
            tokenizer=self.tokenizer,
            characters=self.characters,
        )
        if schema.target:
            _judge_target(schema.target)
        return schema

    def check_schema(self, schema: Schema) -> None:
        """Makes sure that the model does not write texts.

        Raises:
            CheckpointError: it does.
        """
        if schema.target_tokens is not None:
            raise CheckpointError("the model writes a text for each that it reads; use data: SequencePairs")

    def encode(self, split: Split, schema: Schema) -> EncodedSplit:
        """Returns the columns of a split.

        Raises:
            DataError: of the reader; or no label of an evaluation split is known.
            CheckpointError: training data has labels that the schema handed over does not know.
        """
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
            judge_tokens(encoded)
        if encoded.truncated:
            warn(
                f"{split}: {encoded.truncated} of {len(examples)} rows were cut to max_length: {self.max_length} steps"
            )
        return encoded

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
