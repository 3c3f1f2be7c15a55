"""Whole files as texts, their line ends inside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.reader import (
    DAMAGED,
    Example,
    Reader,
    check_encoding,
    open_binary,
    register_reader,
    without_mark,
)
from seqmodels.errors import ConfigurationError, DataError


@register_reader("documents")
class DocumentsReader(Reader):
    """Reads each file as one text with its line ends inside, for language models of characters and subwords.

    The path is a file (gzipped or not), or a folder that is read to its bottom in the order of the names. A file is in
    memory as a whole, one at a time. Its path names the example, with the line where the text begins if a `separator`
    divides the file. Windows line ends become `\\n`.

    Args:
        pattern: which files of a folder are read, such as `*.md` or `chapters/*.txt.gz`; hidden ones never are.
        separator: the line that stands between the texts of one file, such as `<|endoftext|>`; an empty one stands for
            an empty line. Neither it nor the line end before it belongs to a text, and texts without a visible
            character are passed over. Default: a file is one text.
        begin: where reading begins, as a fraction of each file's characters, in [0, 1): with `end: 0.9` for training
            and `begin: 0.9` for validation the last tenth of a file is kept apart, and no character is in both.
        end: where reading ends, in (`begin`, 1].
        encoding: the files' character encoding.

    Raises:
        ConfigurationError: the fractions are out of range or order, the separator has several lines, the pattern is
            empty or absolute, or the encoding is unknown.
    """

    inputs = "text"
    targets = None

    def __init__(
        self,
        *,
        pattern: str = "*.txt",
        separator: str | None = None,
        begin: float = 0.0,
        end: float = 1.0,
        encoding: str = "utf-8",
    ) -> None:
        if not 0 <= begin < end <= 1:
            raise ConfigurationError(f"documents: expected 0 <= begin < end <= 1, got begin {begin} and end {end}")
        if separator is not None and ("\n" in separator or "\r" in separator):
            raise ConfigurationError(f"documents: separator must be one line, without its end, got {separator!r}")
        if not pattern.strip("./") or pattern.startswith("/"):
            raise ConfigurationError(
                f"documents: pattern must be names below the folder, such as *.txt, got {pattern!r}"
            )
        self._pattern = pattern
        self._separator = None if separator is None else re.compile(rf"^{re.escape(separator)}(?:\n|\Z)", re.MULTILINE)
        self._begin = begin
        self._end = end
        self._encoding = check_encoding(encoding, lines=False)

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a file, or one a text between separators; empty files of a folder are passed over.

        Raises:
            DataError: no file of the folder matches, a file cannot be read or is not of the encoding, the one file is
                empty or has no character between `begin` and `end`.
        """
        if path.is_dir():
            for file in self._matching(path):
                yield from self._texts(file, self._read_file(file))
            return
        text = self._read_file(path)
        first, last = self._bounds(text)
        if first == last:
            raise DataError(
                f"{path}: expected text between the fractions {self._begin} and {self._end} of the file, "
                f"found none: it has {len(text)} characters"
            )
        yield from self._texts(path, text)

    def _matching(self, folder: Path) -> list[Path]:
        names = [file.relative_to(folder) for file in folder.rglob(self._pattern) if file.is_file()]
        found = [folder / name for name in sorted(names) if not any(part.startswith(".") for part in name.parts)]
        if not found:
            raise DataError(f"{folder}: expected files named {self._pattern} in it or below, found none; set `pattern`")
        return found

    def _read_file(self, path: Path) -> str:
        try:
            with open_binary(path) as stream:
                content = without_mark(stream.read(), self._encoding)
            return content.decode(self._encoding).replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{path}:{line}: byte 0x{error.object[error.start]:02x} is not {self._encoding}; "
                f"give the reader the file's encoding, such as encoding: iso-8859-1"
            ) from error
        except (OSError, *DAMAGED) as error:
            raise DataError(f"{path}: cannot be read: {error}") from error

    def _bounds(self, text: str) -> tuple[int, int]:
        return int(len(text) * self._begin), int(len(text) * self._end)

    def _texts(self, path: Path, text: str) -> Iterator[Example]:
        first, last = self._bounds(text)
        if self._separator is None:
            if first < last:
                yield {"text": text[first:last], "id": str(path)}
            return
        line, counted = 1, 0  # the line that begins at, or holds, the character `counted`
        for start, stop in self._between(text, first, last):
            if not text[start:stop].isspace():
                line, counted = line + text.count("\n", counted, start), start
                yield {"text": text[start:stop], "id": f"{path}:{line}"}

    def _between(self, text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yields where the texts between separators begin and end, those without a character left out.

        The whole file is divided and then cut: a separator that `begin` or `end` cuts in two is one nonetheless.
        """
        assert self._separator is not None
        start = 0
        for match in self._separator.finditer(text):
            stop = match.start() - 1 if match.start() > start else match.start()
            if max(start, first) < min(stop, last):
                yield max(start, first), min(stop, last)
            start = match.end()
        stop = len(text) - 1 if text.endswith("\n") else len(text)
        if max(start, first) < min(stop, last):
            yield max(start, first), min(stop, last)
