"""Columns of tokens and tags, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.reader import Example, Reader, check_encoding, read_lines, register_reader
from seqmodels.errors import ConfigurationError, DataError


@register_reader("conll")
class ConllReader(Reader):
    """Reads one token a line in columns, with a blank line (or one of spaces and tabs) between sentences.

    Columns are separated by tabs if the file's first line of columns has one, else by spaces; every line has as many as
    that first one. Lines that begin with `-DOCSTART-` are passed over.

    Args:
        token_column: index of the column of tokens, from 0; negative ones count from the last column.
        tag_column: index of the column of tags; default: the last.
        comment: lines that begin with this are passed over; default: there are no comments (tokens may begin with `#`).
        encoding: the file's character encoding.
    """

    inputs = "tokens"
    targets = "tags"

    def __init__(
        self, *, token_column: int = 0, tag_column: int = -1, comment: str | None = None, encoding: str = "utf-8"
    ) -> None:
        if token_column == tag_column:
            raise ConfigurationError(f"token_column and tag_column must differ, got {token_column} for both")
        if comment == "":
            raise ConfigurationError("comment must be at least one character, got ''")
        self._token_column = token_column
        self._tag_column = tag_column
        self._comment = comment
        self._encoding = check_encoding(encoding)

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a sentence; without targets one column of tokens is enough.

        Raises:
            DataError: a line has too few columns, or not as many as the first; a token is empty.
        """
        tokens: list[str] = []
        tags: list[str] = []
        first: tuple[int, int, bool] | None = None  # line, columns, whether tabs separate them
        advice = ""
        for number, line in read_lines(path, self._encoding):
            if not line.strip(" \t"):
                if tokens:
                    yield _example(tokens, tags, targets)
                    tokens, tags = [], []
                continue
            if line.startswith("-DOCSTART-") or (self._comment is not None and line.startswith(self._comment)):
                continue
            tabs = "\t" in line if first is None else first[2]
            columns = line.split("\t") if tabs else re.split(" +", line.strip(" "))
            if self._comment is None and line.startswith("#") and (first is None or len(columns) != first[1]):
                advice = "; if lines that begin with # are comments, give the reader comment: '#'"
            if first is None:
                self._check_first(columns, f"{path}:{number}", targets, advice)
                first = (number, len(columns), tabs)
            elif len(columns) != first[1]:
                raise DataError(
                    f"{path}:{number}: expected {first[1]} {'tab' if tabs else 'space'}-separated columns as in line "
                    f"{first[0]}, found {len(columns)}{advice}"
                )
            token = columns[self._token_column]
            tag = columns[self._tag_column] if targets else ""
            if not token or (targets and not tag):
                raise DataError(f"{path}:{number}: expected a token{' and a tag' if targets else ''}, found {line!r}")
            tokens.append(token)
            tags.append(tag)
        if tokens:
            yield _example(tokens, tags, targets)

    def _check_first(self, columns: list[str], where: str, targets: bool, advice: str) -> None:
        wanted = {"token": self._token_column} | ({"tag": self._tag_column} if targets else {})
        count = len(columns)
        places = {name: index if index >= 0 else count + index for name, index in wanted.items()}
        if any(not 0 <= place < count for place in places.values()) or (targets and places["token"] == places["tag"]):
            listed = ", ".join(f"{name} in column {index}" for name, index in wanted.items())
            raise DataError(
                f"{where}: expected columns separated by tabs or spaces ({listed}), found {count}: {columns}{advice}"
            )


def _example(tokens: list[str], tags: list[str], targets: bool) -> Example:
    return {"tokens": tokens, "tags": tags} if targets else {"tokens": tokens}
