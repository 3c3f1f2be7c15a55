"""The raw examples of the splits: which files they come from, and which parts of the training rows."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Literal, cast

from lightning.pytorch.utilities import rank_zero_only

from seqmodels.data.partition import Partition
from seqmodels.data.readers import create_reader, reader_registry
from seqmodels.data.store import Convert, Examples, load_examples
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.registry import Spec

Split = Literal["train", "validation", "test", "predict"]
SPLITS_OF_STAGE: dict[str | None, tuple[Split, ...]] = {
    "fit": ("train", "validation"),
    "validate": ("validation",),
    "test": ("test",),
    "predict": ("predict",),
}
STANDARD_INPUT = "standard input"  # what messages call it

logger = logging.getLogger(__name__)


class Splits:
    """The examples of training, validation, test and prediction, read when they are first asked for.

    Args:
        reader: the reader's name, or `name` and its arguments.
        given: for each split a path, a list of paths, a mapping of `path` and the reader's arguments that differ there,
            or None.
        partition: which parts of the training rows are the other splits.
        cache_dir: where examples are kept once read; see `cache_folder`.
        convert: is applied to every example before it is stored.
        conversion: names what `convert` does.

    Raises:
        ConfigurationError: a split is given twice over, or a reader's argument is unknown.
    """

    def __init__(
        self,
        reader: Spec,
        given: Mapping[Split, Any],
        partition: Partition,
        *,
        cache_dir: str | None,
        convert: Convert | None = None,
        conversion: str = "",
    ) -> None:
        self.reader = create_reader(reader)
        self.given = given
        self.partition = partition
        self._spec = reader
        self._cache_dir = cache_dir
        self._convert = convert
        self._conversion = conversion
        self._examples: dict[Split, Examples] = {}
        self._spool: tempfile.TemporaryDirectory[str] | None = None
        for split in ("validation", "test"):
            if given[split] is not None and partition.fractions[split] is not None:
                raise ConfigurationError(f"give {split} or {split}_fraction, not both")
        if given["test"] is not None and partition.makes("test"):
            raise ConfigurationError("with folds, one fold is the test data; give neither test nor test_fraction")
        for one in given:
            self._sources(one)

    def of_stage(self, stage: str | None) -> list[Split]:
        """Returns the splits that a stage ("fit", "validate", "test", "predict"; None for all) needs and has.

        Raises:
            ConfigurationError: the stage needs data that is not given.
        """
        if stage is None:
            given = [split for split in self.given if self.is_given(split)]
            return given if self.given["predict"] is not None else given[:-1]  # not to wait for standard input
        needed = SPLITS_OF_STAGE[stage]
        main = needed[0]
        if not self.is_given(main):
            more = "" if main == "train" else f", or data.{main}_fraction to a part of the training data"
            raise ConfigurationError(f"{stage} needs {main} data; set data.{main} to a path{more}")
        return [split for split in needed if self.is_given(split)]

    def is_given(self, split: Split) -> bool:
        """Whether there is data of a split; for prediction always, since standard input serves where none is named."""
        if split == "predict":
            return True
        if self.given[split] is not None:
            return True
        return self.partition.makes(split) and self.given["train"] is not None

    def examples(self, split: Split) -> Examples:
        """Returns the examples of a split, be it a file of its own or a part of the training data.

        Raises:
            ConfigurationError: none is given.
            DataError: of the reader; or there are too few rows to part.
        """
        if not self.is_given(split):
            raise ConfigurationError(f"no {split} data is given; set data.{split} to a path")
        if split not in self._examples:
            if split == "predict" or (split != "train" and self.given[split] is not None):
                self._examples[split] = self._read(split)
            else:
                self._examples |= self._parts(self._read("train"))
        return self._examples[split]

    def _sources(self, split: Split) -> tuple[list[str], dict[str, Any]]:
        """Returns the paths of a split, and the reader's spec for it."""
        given = self.given[split]
        spec = {"name": self._spec} if isinstance(self._spec, str) else dict(self._spec)
        if isinstance(given, Mapping):
            others = {str(key): value for key, value in given.items() if key != "path"}
            if "path" not in given:
                raise ConfigurationError(f"{split}: expected `path` among its keys, got: {', '.join(others) or 'none'}")
            spec |= others
            given = given["path"]
        try:
            reader_registry.check(spec)
        except ConfigurationError as error:
            raise ConfigurationError(f"{split}: {error}" if isinstance(self.given[split], Mapping) else error) from None
        paths = [] if given is None else [given] if isinstance(given, (str, os.PathLike)) else list(given)
        names = [os.fspath(path) for path in paths]
        if "-" in names and (split != "predict" or len(names) > 1):
            raise ConfigurationError(f"{split}: - is standard input, which serves for predict alone; name a file")
        return names, spec

    def _read(self, split: Split) -> Examples:
        paths, spec = self._sources(split)
        reader = create_reader(spec)
        cache_dir = self._cache_dir
        names = None
        if split == "predict" and paths in ([], ["-"]):
            names = [STANDARD_INPUT]
            paths = [self._spool_standard_input()]
            cache_dir = os.path.dirname(paths[0])  # what came by standard input is not kept
        return load_examples(
            *(reader, spec, paths),
            targets=split != "predict" and reader.targets is not None,
            cache_dir=cache_dir,
            convert=self._convert,
            conversion=self._conversion,
            names=names,
        )

    def _spool_standard_input(self) -> str:
        """Copies standard input to a file, which can be read more than once."""
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise ConfigurationError(
                "standard input reaches one process only; set data.predict to a file for several devices"
            )
        self._spool = tempfile.TemporaryDirectory(prefix="seqmodels-")
        path = os.path.join(self._spool.name, "standard_input")
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        return path

    def _parts(self, train: Examples) -> dict[Split, Examples]:
        """Parts the training rows into training, validation and test data, as fractions and folds say."""
        count = len(train)
        if self.partition.folds is not None and self.partition.folds > count:
            raise DataError(
                f"{train.origin}: folds: {self.partition.folds} needs as many rows, found {count}; give fewer folds"
            )
        by_label = self.partition.folds is not None and self.reader.targets == "label"
        parts = self.partition.rows(count, train.column("label") if by_label else None)
        for split, rows in parts.items():
            if not len(rows):
                raise DataError(
                    f"{train.origin}: {count} {'row is' if count == 1 else 'rows are'} too few to part: "
                    f"none is left for {split}"
                )
            if self.partition.fractions.get(split) is not None and len(rows) < 2:
                warn(f"{split}: {split}_fraction: {self.partition.fractions[split]} of {count} rows is 1 row only")
        if len(parts) == 1:
            return {"train": train}
        return {cast(Split, split): train.select(rows) for split, rows in parts.items()}


@rank_zero_only
def warn(message: str) -> None:
    """Logs a warning about the data, in one process of several."""
    logger.warning(message)
