"""Parquet tables, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.columns import NamedColumns
from seqmodels.data.readers.reader import STANDARD_INPUT, Example, Reader, register_reader
from seqmodels.errors import DataError

BATCH_ROWS = 1024  # rows turned into Python objects at a time


@register_reader("parquet")
class ParquetReader(Reader):
    """Reads a Parquet file of one example a row; only the columns that are named are read.

    Args:
        text: column of raw text. One of `text`, `tokens` and `features` must be given.
        tokens: column of tokens: lists, or strings with `token_separator` between them.
        features: column of feature sequences: for each step a list of numbers, or one number.
        label: column of the one class of each example. At most one of `label`, `labels` and `tags` may be given.
        labels: column of any number of classes: lists, or strings with `label_separator` between them.
        tags: column of tags, one for each token: lists, or strings with `token_separator` between them.
        mask: column of lists that are false (or 0) at every token whose tag is not scored.
        id: column that names the example in predictions.
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
        """Yields an example a row; errors count rows from 1 where other readers count lines.

        Raises:
            DataError: not a Parquet file, a column is missing, or a value is not of the kind that was asked for.
        """
        import pyarrow
        from pyarrow.parquet import ParquetFile

        if path == STANDARD_INPUT:
            raise DataError("a Parquet file cannot be read from standard input; name the file")
        number = 0
        try:
            with ParquetFile(path) as table:
                self._named.check(table.schema_arrow.names, str(path), targets=targets)
                names = self._named.names(targets=targets)
                for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=names):
                    for row in batch.to_pylist():
                        number += 1
                        yield self._named.example(row, f"{path}:{number}", targets=targets)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read as Parquet after row {number}: {error}") from error
