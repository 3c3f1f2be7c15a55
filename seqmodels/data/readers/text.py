"""Plain text, one example a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.reader import Example, Reader, check_encoding, read_lines, register_reader


@register_reader("text")
class TextReader(Reader):
    """Reads lines of raw text without targets, for prediction and language modelling. Blank lines are empty texts.

    Args:
        encoding: the file's character encoding.
    """

    inputs = "text"
    targets = None

    def __init__(self, *, encoding: str = "utf-8") -> None:
        self._encoding = check_encoding(encoding)

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a line."""
        for _, line in read_lines(path, self._encoding):
            yield {"text": line}
