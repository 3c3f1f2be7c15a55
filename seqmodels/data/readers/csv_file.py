"""Tables as text: CSV, TSV and their relatives."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from seqmodels.data.readers.columns import NamedColumns
from seqmodels.data.readers.reader import (
    Example,
    Reader,
    check_encoding,
    read_lines,
    reader_registry,
    register_reader,
)
from seqmodels.errors import ConfigurationError, DataError, did_you_mean

DELIMITER_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", " ": "space", "|": "bar"}


@register_reader("csv")
class CsvReader(Reader):
    """Reads a table of one example a row: CSV, TSV, or with any other delimiter. Blank lines are passed over.

    Args:
        text: column of raw text. Either `text` or `tokens` must be given.
        tokens: column of tokens with `token_separator` between them.
        label: column of the one class of each example. At most one of `label`, `labels`, `tags` and `target_text` may
            be given.
        labels: column of any number of classes with `label_separator` between them; empty for none.
        tags: column of tags, one for each token, with `token_separator` between them.
        target_text: column of raw text that is to be written, such as a translation.
        id: column that names the example in predictions.
        columns: names of the columns of a file without a header line; default: the first line names them.
        delimiter: the character between columns; default: a tab for `.tsv` and `.tab`, and where a file without such
            an ending, as standard input, has one in its first line; else a comma.
        quoting: whether `"` quotes columns that hold delimiters or line breaks; false for files that know no quoting.
        strip: whether spaces around every value are dropped.
        token_separator: what stands between tokens; `""` makes every character a token.
        label_separator: what stands between the classes of `labels`.
        encoding: the file's character encoding.

    With `columns` and without targets, a file may also hold just the columns that are no targets, in their order.
    """

    def __init__(
        self,
        *,
        text: str | None = None,
        tokens: str | None = None,
        label: str | None = None,
        labels: str | None = None,
        tags: str | None = None,
        target_text: str | None = None,
        id: str | None = None,
        columns: Sequence[str] | None = None,
        delimiter: str | None = None,
        quoting: bool = True,
        strip: bool = True,
        token_separator: str = " ",
        label_separator: str = ",",
        encoding: str = "utf-8",
    ) -> None:
        self._named = NamedColumns(
            reader_registry.name_of(type(self)),
            text=text,
            tokens=tokens,
            label=label,
            labels=labels,
            tags=tags,
            target_text=target_text,
            id=id,
            token_separator=token_separator,
            label_separator=label_separator,
        )
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"'):
            raise ConfigurationError(f"delimiter must be one character, got {delimiter!r}")
        if columns is not None:
            if isinstance(columns, str):
                raise ConfigurationError(f"columns must be a list of names, got the text {columns!r}")
            missing = [name for name in self._named.names(targets=True) if name not in columns]
            if missing:
                near = did_you_mean(missing[0], columns)
                raise ConfigurationError(f"columns must name '{missing[0]}', got {', '.join(columns) or 'none'}{near}")
        self.inputs = self._named.inputs
        self.targets = self._named.targets
        self._columns = None if columns is None else list(columns)
        self._delimiter = delimiter
        self._quoting = quoting
        self._strip = strip
        self._encoding = check_encoding(encoding)

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a row.

        Raises:
            DataError: a column is missing, a row has more or fewer columns than the header, a quote is never closed.
        """
        lines = (line for _, line in read_lines(path, self._encoding))
        head = []
        for line in lines:
            head.append(line)
            if line.strip():
                break
        delimiter = self._delimiter or _delimiter(path, head)
        names: list[str] | None = None
        for number, row in self._rows(path, chain(head, lines), delimiter):
            where = f"{path}:{number}"
            if names is None and self._columns is None:
                names = [name.strip() for name in row]
                self._check_header(names, where, targets)
                continue
            if names is None:
                names = self._headerless(len(row), targets)
            if len(row) != len(names):
                kind = DELIMITER_NAMES.get(delimiter, repr(delimiter))
                raise DataError(
                    f"{where}: expected {len(names)} {kind}-separated columns ({', '.join(names)}), found {len(row)}"
                )
            values = [value.strip() for value in row] if self._strip else row
            yield self._named.example(dict(zip(names, values, strict=True)), where, targets=targets)

    def _rows(self, path: Path, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """Yields each row that is not blank with the number of its first line."""
        csv.field_size_limit(2**31 - 1)  # a text may be longer than 128 KiB
        rows = csv.reader(
            (line + "\n" for line in lines),
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if self._quoting else csv.QUOTE_NONE,
            strict=True,
        )
        number = 1
        try:
            for row in rows:
                if row and row != [""]:
                    yield number, row
                number = rows.line_num + 1
        except csv.Error as error:
            advice = "; if the file knows no quoting, say quoting: false" if self._quoting else ""
            raise DataError(f"{path}:{number}: not a row of a table: {error}{advice}") from error

    def _headerless(self, count: int, targets: bool) -> list[str]:
        """Returns the names of the columns of a file without header whose first row has `count` of them."""
        names = self._columns or []
        inputs = [name for name in names if name not in self._named.target_names()]
        return inputs if not targets and count == len(inputs) else names

    def _check_header(self, names: list[str], where: str, targets: bool) -> None:
        advice = "; a file without a header line needs `columns: [...]`, another delimiter needs `delimiter`"
        self._named.check(names, where, targets=targets, advice=advice)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{where}: expected different column names, found {', '.join(twice)} more than once")


def _delimiter(path: Path, head: Sequence[str]) -> str:
    # What is not told by the ending, as of standard input, the first line tells.
    ending = Path(path.name.removesuffix(".gz")).suffix
    has_tab = any("\t" in line for line in head)
    return "\t" if ending in (".tsv", ".tab") or (not ending and has_tab) else ","
