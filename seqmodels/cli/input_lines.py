"""The lines of `--input`, a file or standard input, as commands without Lightning read them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from seqmodels.data.readers.reader import DAMAGED, open_binary, without_mark
from seqmodels.errors import DataError


@contextlib.contextmanager
def input_lines(path: str) -> Iterator[Iterator[str]]:
    """Opens what `--input` names, `-` for standard input, through gzip where the name ends in `.gz`.

    Yields:
        its lines, without their ends.

    Raises:
        OSError: it cannot be opened.
        DataError: while lines are read: it is not text in UTF-8, or the compressed stream is damaged.
    """
    with open_binary(Path(path).expanduser()) as stream:
        yield _decoded(stream, path)


def _decoded(stream: Iterable[bytes], path: str) -> Iterator[str]:
    """Yields the lines, of files and pipes alike without the byte order mark and the line ends of any system."""
    number = 0
    try:
        for number, raw in enumerate(stream, start=1):
            yield (without_mark(raw, "utf-8") if number == 1 else raw).decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"--input {path}:{number}: expected text in UTF-8, found the byte 0x{error.object[error.start]:02x}; "
            f"convert it, such as with iconv -f ISO-8859-1 -t UTF-8"
        ) from error
    except DAMAGED as error:
        raise DataError(f"--input {path}:{number + 1}: cannot be read: {error}") from error
