"""The data module of a corpus read as contiguous streams, for stateful training."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from seqmodels.data.batch import Batch
from seqmodels.data.corpus import Corpus
from seqmodels.data.encoded import Encoded
from seqmodels.data.loader import SequenceLoader, evaluation_loader
from seqmodels.data.next_step import append_end, end_of_text
from seqmodels.data.schema import Schema
from seqmodels.data.splits import Split
from seqmodels.data.statistics import DataStatistics
from seqmodels.data.store import EncodedSplit
from seqmodels.data.streams import StreamDataset, WindowSampler
from seqmodels.errors import ConfigurationError, DataError


class ContiguousStreams(Corpus):
    """A text corpus cut into as many contiguous streams as a batch has rows, read window after window.

    Row i of each batch goes on where row i of the batch before it stopped, so a model can carry its state along and
    remember more than one window. All texts are joined in order, each with an end token behind it; every token is
    predicted exactly once an epoch, also in evaluation.

    Args:
        reader: the file format: a reader's name, or a mapping of `name` and its arguments. `text` takes each line for
            a text, `documents` each file.
        train: training data: a path, a list of paths that are joined, or a mapping with `path` and arguments of the
            reader that differ in that split.
        validation: validation data.
        test: test data.
        predict: texts to score, each by itself; None or `-` is standard input.
        tokenizer: how text is split: a tokenizer's name, or `name` and its arguments.
        batch_size: streams that a process trains at once.
        window: steps through which gradients flow (truncated back-propagation through time).
        random_windows: whether the lengths of windows vary around `window` and the learning rate with them, so that
            the corpus is not cut at the same places in every epoch.
        reset_at_documents: whether the state is reset where a text begins, at which a window then ends.
        eval_batch_size: streams of validation, of all processes together; fewer where a stream would be shorter than a
            window. More are faster, but each begins without a past.
        test_batch_size: streams of test; 1 reads it as one text.
        eval_window: steps of a window in evaluation, where the carried state makes the result the same for all.
        validation_fraction: this fraction of the training texts becomes the validation data where none is given: the
            last ones, for the corpus runs on from text to text.
        test_fraction: this fraction of the training texts becomes the test data where none is given: the last ones,
            behind those of validation.
        num_workers: processes that fill batches; 0, in this one, is fastest for text.
        seed: of random windows.
        cache_dir: where texts are kept once read; None for `$SEQMODELS_CACHE` or `~/.cache/seqmodels`.

    Raises:
        ConfigurationError: an argument is out of range or does not fit the others, or a reader or tokenizer, or an
            argument of theirs, is unknown; or the reader gives feature sequences.

    Reference:
        Random windows: Merity, Keskar and Socher (2018), Regularizing and optimizing LSTM language models, section 5.
    """

    streams = True

    def __init__(
        self,
        reader: str | dict[str, Any] = "text",
        train: str | list[str] | dict[str, Any] | None = None,
        validation: str | list[str] | dict[str, Any] | None = None,
        test: str | list[str] | dict[str, Any] | None = None,
        predict: str | None = None,
        tokenizer: str | dict[str, Any] = "word",
        batch_size: int = 20,
        window: int = 35,
        random_windows: bool = False,
        reset_at_documents: bool = False,
        eval_batch_size: int = 10,
        test_batch_size: int = 1,
        eval_window: int = 128,
        validation_fraction: float | None = None,
        test_fraction: float | None = None,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__({name: value for name, value in locals().items() if name not in ("self", "__class__")})
        sizes = {"batch_size": batch_size, "eval_batch_size": eval_batch_size, "test_batch_size": test_batch_size}
        for name, size in {**sizes, "window": window, "eval_window": eval_window}.items():
            if size < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {size}")
        if random_windows and reset_at_documents:
            raise ConfigurationError(
                "random_windows and reset_at_documents exclude each other: with windows that end where documents do, "
                "the cuts vary already; choose one"
            )
        if self.reader.inputs == "features":
            raise ConfigurationError("contiguous streams are made of text, but the reader gives feature sequences; "
                                     "use data: SeparateSequences")  # fmt: skip
        self.batch_size = batch_size
        self.eval_batch_sizes = {"validation": eval_batch_size, "test": test_batch_size}
        self.window = window
        self.eval_window = eval_window
        self.random_windows = random_windows
        self.reset_at_documents = reset_at_documents

    def rewrite(self, encoded: Encoded, schema: Schema) -> Encoded:
        """Returns the ids of texts, each with the end token behind it."""
        return append_end(encoded, schema)

    def check(self, split: Split, encoded: EncodedSplit) -> None:
        """Makes sure that each stream of the training data has a whole window.

        Raises:
            DataError: it has not.
        """
        tokens = len(encoded.encoded.steps().values)
        if split == "train" and tokens < self._streams(split, encoded) * self.window:
            raise DataError(
                f"{self.examples(split).origin}: its {tokens:,} tokens are too few for {self._streams(split, encoded)} "
                f"streams of at least one window of {self.window}; lower data.batch_size or data.window, "
                f"or give more text"
            )

    def layout(self, split: Split, encoded: EncodedSplit, *, train: bool) -> SequenceLoader | DataLoader[Batch]:
        """Returns the loader of a split's windows."""
        assert self.schema is not None
        assert self.schema.tokens is not None
        assert encoded.encoded.ids is not None
        end_id = end_of_text(self.schema.tokens.tokenizer)
        window = self.window if train else self.eval_window
        dataset = StreamDataset(encoded.encoded.ids, end_id=end_id, window=window)
        sampler = self.sampler(split)
        make = self.train_loader if train else evaluation_loader
        return make(dataset, sampler, self.num_workers)

    def sampler(self, split: Split) -> WindowSampler:
        """Returns a new sampler of a split that `setup` has encoded."""
        encoded = self._encoded[split]
        return WindowSampler(
            encoded.encoded.steps().offsets,
            streams=self._streams(split, encoded),
            window=self.window if split == "train" else self.eval_window,
            random_windows=self.random_windows and split == "train",
            reset_at_documents=self.reset_at_documents,
            seed=self.seed,
        )

    def measure(self, split: Split) -> DataStatistics:
        """Measures a split; its rows are the texts."""
        entry = self._encoded[split]
        lengths = entry.encoded.steps().lengths()
        shortest, median, p95, longest = np.percentile(lengths, [0, 50, 95, 100]).tolist()
        sampler = None if split == "predict" else self.sampler(split)
        steps = int(lengths.sum())
        return DataStatistics(
            split=split,
            rows=len(lengths),
            steps=steps,
            shortest=int(shortest),
            median=median,
            p95=p95,
            longest=int(longest),
            truncated=0,
            unknown_tokens=100 * entry.unknown_tokens / max(steps, 1),
            unknown_characters=None,
            labels={},
            unseen={},
            padding=0.0 if sampler is None else 100 * sampler.padding_share(),
            batches=0 if sampler is None else len(sampler),
        )

    def _streams(self, split: Split, encoded: EncodedSplit) -> int:
        if split == "train":
            return self.batch_size * (1 if self.trainer is None else self.trainer.world_size)
        tokens = len(encoded.encoded.steps().values)
        return max(1, min(self.eval_batch_sizes[split], tokens // self.eval_window))
