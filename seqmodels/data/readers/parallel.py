"""Two files of which each line of one belongs to the same line of the other, such as a text and its translation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from seqmodels.data.readers.reader import (
    STANDARD_INPUT,
    Example,
    Reader,
    check_encoding,
    expand_path,
    read_lines,
    register_reader,
    resolve_path,
)
from seqmodels.errors import ConfigurationError, DataError


@register_reader("parallel")
class ParallelReader(Reader):
    """Reads a text and the text to be written from it, each a line of a file of its own.

    With `source: en, target: de` the path is what the names of both files begin with: `corpus/train` stands for
    `corpus/train.en` and `corpus/train.de`, each of which may be gzipped (`.gz`). Else the path is the file that is
    read, and `target_path` the one that is to be written. Prediction reads the first alone, which may then also be any
    file of lines.

    Args:
        source: how the name of the file that is read ends, such as a language; comes with `target`.
        target: how the name of the file that is to be written ends.
        target_path: the file that is to be written, where the two names have nothing in common; it differs in every
            split, so it stands beside the path: `train: {path: a.txt, target_path: b.txt}`.
        encoding: the files' character encoding.
    """

    inputs = "text"
    targets = "target_text"

    def __init__(
        self,
        *,
        source: str | None = None,
        target: str | None = None,
        target_path: str | None = None,
        encoding: str = "utf-8",
    ) -> None:
        if (source is None) != (target is None):
            raise ConfigurationError(f"parallel: source and target come together, got {source!r} and {target!r}")
        if source is not None and (source == target or not source or not target):
            raise ConfigurationError(
                f"parallel: source and target must be two endings of names, such as en and de, got {source!r} and "
                f"{target!r}"
            )
        if source is not None and target_path is not None:
            raise ConfigurationError("parallel: give source and target, or target_path, not both")
        self._source = source
        self._target = target
        self._target_path = target_path
        self._encoding = check_encoding(encoding)

    def resolve(self, path: str) -> Path:
        """Returns the file of sources that a path stands for.

        Raises:
            DataError: there is no such file.
        """
        if self._source is None or path == "-":
            return resolve_path(path)
        begin = expand_path(path)
        found = next((file for file in _endings(begin, self._source) if file.exists()), None)
        if found is not None:
            return found
        if begin.is_file():
            return begin
        if begin.is_dir():
            raise DataError(
                f"{begin}: is a folder; expected what the names of the two files begin with, such as {begin}/train for "
                f"train.{self._source} and train.{self._target}"
            )
        try:
            return resolve_path(f"{begin}.{self._source}")
        except DataError as error:
            raise DataError(f"{error} (nor with .gz); source: {self._source} is how the name ends") from error

    def files(self, path: Path) -> list[Path]:
        """Returns the file of sources, and where that of targets may lie."""
        return [path] if path == STANDARD_INPUT else [path, *self._target_files(path)]

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a line; without targets blank lines are empty texts.

        Raises:
            DataError: there is no file of targets, the two have not as many lines, or with targets a line is empty.
        """
        if not targets:
            for _, line in read_lines(path, self._encoding):
                yield {"text": line}
            return
        other = self._find_target(path)
        pairs = zip_longest(read_lines(path, self._encoding), read_lines(other, self._encoding))
        for number, (source, target) in enumerate(pairs, start=1):
            if source is None or target is None:
                longer = number + sum(1 for _ in pairs)
                counts = (longer, number - 1) if target is None else (number - 1, longer)
                raise DataError(
                    f"{path} has {counts[0]:,} lines, {other} has {counts[1]:,}; expected as many in both, each line "
                    f"beside the one that it belongs to"
                )
            for file, line in ((path, source[1]), (other, target[1])):
                if not line.strip():
                    raise DataError(
                        f"{file}:{number}: expected a text, found an empty line; leave the line out of both files"
                    )
            yield {"text": source[1], "target_text": target[1]}

    def _target_files(self, path: Path) -> list[Path]:
        """Returns where the file that belongs to a file of sources may lie, there or not."""
        if self._target_path is not None:
            return [expand_path(self._target_path)]
        begin = path.with_name(path.name.removesuffix(".gz").removesuffix(f".{self._source}"))
        return [] if self._target is None or begin == path else _endings(begin, self._target)

    def _find_target(self, path: Path) -> Path:
        if self._target_path is not None:
            return resolve_path(self._target_path)
        candidates = [] if path == STANDARD_INPUT else self._target_files(path)
        found = next((file for file in candidates if file.exists()), None)
        if found is not None:
            return found
        if candidates:
            raise DataError(
                f"{path}: there is neither {candidates[0]} nor {candidates[1].name} beside it; expected the file whose "
                f"lines are to be written"
            )
        if self._source is None:
            raise DataError(
                f"{path}: expected a second file, whose lines are to be written: {{path: {path.name}, target_path: "
                f"...}}, or give the reader source and target, how the names of the two files end"
            )
        raise DataError(
            f"{path}: expected the beginning of two names, .{self._source} and .{self._target} are put behind it; "
            f"a file of sources alone can be predicted on only"
        )


def _endings(begin: Path, ending: str) -> list[Path]:
    """Returns the two names that a file may have, plain and gzipped."""
    return [Path(f"{begin}.{ending}"), Path(f"{begin}.{ending}.gz")]
