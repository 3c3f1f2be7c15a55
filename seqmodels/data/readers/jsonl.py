"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.columns import TableReader
from seqmodels.data.readers.reader import Example, read_lines, register_reader
from seqmodels.errors import DataError


@register_reader("jsonl")
class JsonLinesReader(TableReader):
    """Reads one JSON object a line, in UTF-8; blank lines are passed over.

    Its arguments are those of every table, with keys as columns.
    """

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a line.

        Raises:
            DataError: a line is not a JSON object, lacks a key, or holds another kind of value there.
        """
        for number, line in read_lines(path):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: expected one JSON object: {error.msg} at column {error.colno}") from error
            if not isinstance(row, dict):
                raise DataError(f"{where}: expected a JSON object in braces, found {line.strip()[:40]!r}")
            yield self._named.example(row, where, targets=targets)
