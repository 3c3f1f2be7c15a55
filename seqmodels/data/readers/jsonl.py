"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.columns import NamedColumns
from seqmodels.data.readers.reader import Example, Reader, read_lines, register_reader
from seqmodels.errors import DataError


@register_reader("jsonl")
class JsonLinesReader(Reader):
    """Reads one JSON object a line, in UTF-8. Blank lines are passed over.

    Args:
        text: key of the raw text. One of `text`, `tokens` and `features` must be given.
        tokens: key of the tokens: a list, or one string with `token_separator` between them.
        features: key of the feature sequence: for each step a list of numbers, or one number.
        label: key of the one class of each example. At most one of `label`, `labels` and `tags` may be given.
        labels: key of any number of classes: a list, or one string with `label_separator` between them.
        tags: key of the tags, one for each token: a list, or one string with `token_separator` between them.
        mask: key of a list that is false (or 0) at every token whose tag is not scored.
        id: key of the name that the example has in predictions.
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
        mask: str | None = None,
        id: str | None = None,
        token_separator: str = " ",
        label_separator: str = ",",
    ) -> None:
        self._named = NamedColumns(
            text=text,
            tokens=tokens,
            features=features,
            label=label,
            labels=labels,
            tags=tags,
            mask=mask,
            id=id,
            token_separator=token_separator,
            label_separator=label_separator,
        )
        self.inputs = self._named.inputs
        self.targets = self._named.targets

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
