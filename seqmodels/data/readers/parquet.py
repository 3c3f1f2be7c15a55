"""Parquet tables, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seqmodels.data.readers.columns import TableReader
from seqmodels.data.readers.reader import STANDARD_INPUT, Example, register_reader
from seqmodels.errors import DataError

BATCH_ROWS = 1024  # rows turned into Python objects at a time


@register_reader("parquet")
class ParquetReader(TableReader):
    """Reads a Parquet file of one example a row; only the columns that are named are read.

    Its arguments are those of every table.
    """

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
                present = table.schema_arrow.names
                self._named.check(present, str(path), targets=targets)
                names = self._named.columns(present, targets=targets)
                for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=names):
                    for row in batch.to_pylist():
                        number += 1
                        yield self._named.example(row, f"{path}:{number}", targets=targets)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read as Parquet after row {number}: {error}") from error
