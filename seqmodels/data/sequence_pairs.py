"""The data module of texts with a text to be written from each, such as its translation."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqmodels.data.bucketed_sequences import BATCH_SIZE, BucketedSequences, judge_tokens
from seqmodels.data.encoded import Encoded
from seqmodels.data.partition import Partition
from seqmodels.data.ragged import Array
from seqmodels.data.schema import Schema, build_pair_schema
from seqmodels.data.splits import Split, Splits, warn
from seqmodels.data.store import EncodedSplit, Examples, encode_split
from seqmodels.data.tokenizer_training import tokenizer_registry
from seqmodels.errors import CheckpointError, ConfigurationError, DataError


class SequencePairs(BucketedSequences):
    """Texts with a text to be written from each, for translation and whatever else maps a sequence to a sequence.

    Each of `train`, `validation` and `test` is a path, a list of paths that are joined, or a mapping with `path` and
    arguments of the reader that differ in that split: `{path: a.txt, target_path: b.txt}`. Paths may hold `~` and
    `$VARIABLES`. No file is opened before `setup`.

    A training pair that is too long, too uneven or empty on a side is left out and counted in a warning and in
    `describe()`; rows of the other splits are never left out.

    Args:
        reader: the file format: a reader's name, or a mapping of `name` and its arguments, such as
            `{name: parallel, source: en, target: de}`.
        train: training data.
        validation: validation data.
        test: test data.
        predict: texts to read, whose targets are to be written; None or `-` is standard input.
        tokenizer: how the source is split: a tokenizer's name, or `name` and its arguments.
        target_tokenizer: how the target is split; None for the same recipe, trained on the targets.
        shared_vocabulary: whether one tokenizer is trained on both sides and serves both, so that they can share
            embeddings.
        batch_size: rows a batch.
        max_tokens: steps a batch, those of both sides together and padding included, instead of `batch_size`.
        max_length: tokens of either side of a training pair at most, its end token not counted; None for any.
        max_length_ratio: tokens of the longer side of a training pair for each of the shorter one at most: a pair that
            is very uneven is hardly a translation; None for any.
        validation_fraction: this fraction of the training rows becomes the validation data where none is given.
        test_fraction: this fraction of the training rows becomes the test data where none is given.
        num_workers: processes that fill batches; 0, in this one, is fastest for text.
        seed: of shuffling and of fractions.
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
        tokenizer: str | dict[str, Any] = "bpe",
        target_tokenizer: str | dict[str, Any] | None = None,
        shared_vocabulary: bool = False,
        batch_size: int = BATCH_SIZE,
        max_tokens: int | None = None,
        max_length: int | None = None,
        max_length_ratio: float | None = None,
        validation_fraction: float | None = None,
        test_fraction: float | None = None,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        splits = Splits(
            reader,
            {"train": train, "validation": validation, "test": test, "predict": predict},
            Partition(validation_fraction=validation_fraction, test_fraction=test_fraction, seed=seed),
            cache_dir=cache_dir,
        )
        super().__init__(arguments, splits)
        self.target_tokenizer = target_tokenizer
        self.shared_vocabulary = shared_vocabulary
        self.max_length = max_length
        self.max_length_ratio = max_length_ratio
        self._check()

    def _check(self) -> None:
        if self.max_length is not None and self.max_length < 1:
            raise ConfigurationError(f"max_length must be at least 1, got {self.max_length}")
        if self.max_length_ratio is not None and not self.max_length_ratio >= 1:
            raise ConfigurationError(f"max_length_ratio must be at least 1, got {self.max_length_ratio}")
        if self.target_tokenizer is not None:
            tokenizer_registry.create(self.target_tokenizer)
            if self.shared_vocabulary:
                raise ConfigurationError(
                    "shared_vocabulary: true makes one tokenizer of both sides; give target_tokenizer or it, not both"
                )
        if self.reader.inputs != "text" or self.reader.targets not in ("target_text", None):
            raise ConfigurationError(
                f"SequencePairs needs a reader of text and target_text, but this one gives {self.reader.inputs} and "
                f"{self.reader.targets or 'no target'}; such as reader: {{name: parallel, source: en, target: de}}"
            )
        for split, given in self.given.items():
            if isinstance(given, dict) and "target_path" in given and not isinstance(given.get("path"), str):
                raise ConfigurationError(f"{split}: target_path belongs to one path, got {given.get('path')!r}")

    def build_schema(self, train: Examples) -> Schema:
        """Returns the schema of the training data, of all of its pairs: which are too long is not known before."""
        self._check_targets("train")
        return build_pair_schema(
            train,
            tokenizer=self.tokenizer,
            target_tokenizer=self.target_tokenizer,
            shared=self.shared_vocabulary,
        )

    def check_schema(self, schema: Schema) -> None:
        """Makes sure that the model reads text and writes text.

        Raises:
            CheckpointError: it does not.
        """
        if schema.tokens is None or schema.pretokenized:
            reads = "features" if schema.tokens is None else "tokens"
            raise CheckpointError(f"the model was trained on {reads}, but the reader gives text")
        if schema.target_tokens is None:
            raise CheckpointError(
                "the model writes no text, so it was not trained on pairs of texts; use the data module that it was "
                "trained with"
            )

    def encode(self, split: Split, schema: Schema) -> EncodedSplit:
        """Returns the columns of a split, of which `kept` tells the training pairs that are not left out.

        Raises:
            DataError: of the reader; or no training pair is kept.
        """
        examples = self.examples(split)
        if split != "predict":
            self._check_targets(split)
        encoded = encode_split(examples, schema, targets=split != "predict", cache_dir=self.cache_dir)
        if split == "train":
            self._drop(encoded, examples.origin)
        elif split == "predict":
            judge_tokens(encoded)
        return encoded

    def _check_targets(self, split: Split) -> None:
        if self.reader.targets is None:
            raise ConfigurationError(
                f"{split}: the reader gives no target_text, so its texts can be predicted on only; such as "
                f"reader: {{name: parallel, source: en, target: de}} for training and testing"
            )

    def _drop(self, encoded: EncodedSplit, origin: str) -> None:
        """Marks the training pairs that are left out, each for the first reason that applies, and says how many."""
        rows = len(encoded.encoded)
        dropped = np.zeros(rows, dtype=bool)
        for reason, applies in self._reasons(encoded.encoded).items():
            count = int(np.count_nonzero(applies & ~dropped))
            if count:
                encoded.dropped[reason] = count
                dropped |= applies
        if not encoded.dropped:
            return
        encoded.kept = np.flatnonzero(~dropped)
        listed = ", ".join(f"{count:,} {reason}" for reason, count in encoded.dropped.items())
        if dropped.all():
            raise DataError(f"{origin}: none of its {rows:,} pairs can be trained on: {listed}")
        warn(f"train: {int(dropped.sum()):,} of {rows:,} pairs are left out: {listed}")

    def _reasons(self, encoded: Encoded) -> dict[str, Array]:
        """Returns for each reason to leave a pair out to which rows it applies, (rows,) bool."""
        tokens = encoded.sides() - [0, 1]  # without the end token of the target
        shorter, longer = tokens.min(axis=1), tokens.max(axis=1)
        reasons = {"with an empty side": shorter == 0}
        if self.max_length is not None:
            reasons[f"longer than max_length: {self.max_length}"] = longer > self.max_length
        if self.max_length_ratio is not None:
            reasons[f"beyond max_length_ratio: {self.max_length_ratio}"] = longer > self.max_length_ratio * shorter
        return reasons
