"""Data sets of the Hugging Face hub, or folders in one of its formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seqmodels.data.readers.columns import NamedColumns
from seqmodels.data.readers.reader import Example, Reader, reader_registry, register_reader, resolve_path
from seqmodels.errors import DataError, did_you_mean

BATCH_ROWS = 1024  # rows turned into Python objects at a time


@register_reader("huggingface")
class HuggingFaceReader(Reader):
    """Reads a data set by its name on the Hugging Face hub, or a local folder.

    A folder is one that `save_to_disk` wrote, or one with data files that `load_dataset` understands. Columns of
    `ClassLabel`, and of lists of them, give the names of their classes.

    Args:
        text: column of raw text. One of `text`, `tokens` and `features` must be given.
        tokens: column of tokens: lists, or strings with `token_separator` between them.
        features: column of feature sequences: for each step a list of numbers, or one number.
        label: column of the one class of each example. At most one of `label`, `labels`, `tags` and `target_text` may
            be given.
        labels: column of any number of classes: lists, or strings with `label_separator` between them.
        tags: column of tags, one for each token: lists, or strings with `token_separator` between them.
        target_text: column of raw text that is to be written. What is nested is named by a dot: `translation.de`.
        mask: column of lists that are false (or 0) at every token whose tag is not scored.
        id: column that names the example in predictions.
        split: which split to read, as the hub writes it ("train", "test", "train[:10%]"); a folder that
            `save_to_disk` wrote from one split alone is read whole.
        configuration: which of the data set's configurations, where it has several.
        token_separator: what stands between tokens; `""` makes every character a token.
        label_separator: what stands between the classes of `labels`.
    """

    def __init__(
        self,
        *,
        text: str | None = None,
        tokens: str | None = None,
        features: str | None = None,
        label: str | None = None,
        labels: str | None = None,
        tags: str | None = None,
        target_text: str | None = None,
        mask: str | None = None,
        id: str | None = None,
        split: str = "train",
        configuration: str | None = None,
        token_separator: str = " ",
        label_separator: str = ",",
    ) -> None:
        self._named = NamedColumns(
            reader_registry.name_of(type(self)),
            text=text,
            tokens=tokens,
            features=features,
            label=label,
            labels=labels,
            tags=tags,
            target_text=target_text,
            mask=mask,
            id=id,
            token_separator=token_separator,
            label_separator=label_separator,
        )
        self.inputs = self._named.inputs
        self.targets = self._named.targets
        self._split = split
        self._configuration = configuration

    def resolve(self, path: str) -> Path:
        """Returns the folder if there is one, else `path` as the name of a data set on the hub.

        Raises:
            DataError: `path` can be no name (it begins with `/`, `.`, `~` or holds `$`) and there is no such folder.
        """
        if os.path.exists(path) or path.startswith(("/", ".", "~")) or "$" in path:
            return resolve_path(path)
        return Path(path)

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a row; errors count rows from 1 where other readers count lines.

        Raises:
            DataError: there is no such data set, split or column, or a value is not of the kind that was asked for.
        """
        dataset = self._load(path)
        self._named.check(dataset.column_names, str(path), targets=targets)
        dataset = dataset.select_columns(self._named.columns(dataset.column_names, targets=targets))
        decoders = {name: _class_names(feature) for name, feature in dataset.features.items()}
        number = 0
        for batch in dataset.with_format(None).iter(batch_size=BATCH_ROWS):
            for values in zip(*batch.values(), strict=True):
                number += 1
                where = f"{path}:{number}"
                row = {name: _named(value, decoders[name], where) for name, value in zip(batch, values, strict=True)}
                yield self._named.example(row, where, targets=targets)

    def _load(self, path: Path) -> Any:
        import datasets

        try:
            if (path / "state.json").exists():
                return datasets.load_from_disk(str(path))
            if (path / "dataset_dict.json").exists():
                return self._choose(datasets.load_from_disk(str(path)), path)
            return datasets.load_dataset(str(path), self._configuration, split=self._split)
        except DataError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise DataError(f"{path}: cannot be loaded as a Hugging Face data set: {error}") from error

    def _choose(self, splits: Mapping[str, Any], path: Path) -> Any:
        if self._split not in splits:
            near = did_you_mean(self._split, splits)
            raise DataError(f"{path}: no split '{self._split}'; the splits are: {', '.join(splits)}{near}")
        return splits[self._split]


def _class_names(feature: Any) -> Callable[[int], str] | None:
    """Returns what turns the integers of a column of classes, or of lists of classes, into names."""
    inner = getattr(feature, "feature", feature)
    return getattr(inner, "int2str", None)


def _named(value: Any, decode: Callable[[int], str] | None, where: str) -> Any:
    if decode is None:
        return value
    if isinstance(value, list):
        return [_named(part, decode, where) for part in value]
    if value is None or value < 0:  # the hub's mark of a test set without labels
        raise DataError(f"{where}: expected a class, found {value}: this split has no labels")
    return decode(value)
