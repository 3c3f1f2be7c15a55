"""Lines that begin with their label."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.reader import Example, Reader, check_encoding, read_lines, register_reader
from seqmodels.errors import ConfigurationError, DataError


@register_reader("label_text")
class LabelTextReader(Reader):
    """Reads lines `label text`: the label ends at the first space or tab. Blank lines are passed over.

    Args:
        label_separator: where to cut the label: ":" makes `DESC` of `DESC:manner`; default: nowhere.
        encoding: the file's character encoding.

    Every line begins with a label, in prediction too; lines of text alone are for the reader `text`.
    """

    inputs = "text"
    targets = "label"

    def __init__(self, *, label_separator: str | None = None, encoding: str = "utf-8") -> None:
        if label_separator == "":
            raise ConfigurationError("label_separator must be at least one character, got ''")
        self._label_separator = label_separator
        self._encoding = check_encoding(encoding)

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a line.

        Raises:
            DataError: a line holds no space between label and text, or no label.
        """
        for number, line in read_lines(path, self._encoding):
            if not line.strip():
                continue
            label, *text = re.split("[ \t]+", line.strip(" \t"), maxsplit=1)
            if not text:
                raise DataError(f"{path}:{number}: expected a label, a space and text, found only {label[:40]!r}")
            if self._label_separator is not None:
                label = label.split(self._label_separator, 1)[0]
            example: Example = {"text": text[0]}
            if targets:
                example["label"] = label
            yield example
