"""The contract of a reader, and the registry of readers."""

from __future__ import annotations

import gzip
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict

from seqmodels.errors import DataError, did_you_mean
from seqmodels.registry import Registry


class Example(TypedDict, total=False):
    """One sequence and what is to be learned of it: one of the inputs, and one of the targets where there is one.

    Inputs: `text` (raw), `tokens` (words, kept as they are), `features` (time x size numbers).
    Targets: `label` (one class), `labels` (any number of classes), `tags` (one for each token).
    `mask` (one for each tag) is False where a tag is not scored. `id` names the example in predictions.
    """

    text: str
    tokens: list[str]
    features: list[list[float]]
    label: str
    labels: list[str]
    tags: list[str]
    mask: list[bool]
    id: str


class Reader(ABC):
    """Streams the examples of a file (or folder) in order, holding no more than one in memory.

    With `targets=False` it reads inputs alone, as for prediction: a missing label column is no error then.
    """

    inputs: str  # the key of Example that holds the input: "text", "tokens" or "features"
    targets: str | None  # the key that holds the target: "label", "labels", "tags"; None if the format has none

    @abstractmethod
    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields the examples of the file at `path`.

        Raises:
            DataError: `path:line`, what was expected there and what was found.
        """


reader_registry: Registry[Reader] = Registry("reader", Reader)
register_reader = reader_registry.register
list_readers = reader_registry.names


def resolve_path(path: str | os.PathLike[str]) -> Path:
    """Expands `~` and `$VARIABLES` in a path and checks that something is there.

    Raises:
        DataError: a variable is not set, or there is no such file; names the nearest name in that folder.
    """
    expanded = Path(os.path.expandvars(os.path.expanduser(path)))
    if "$" in str(expanded):
        variable = str(expanded).split("$", 1)[1].strip("{").split("/")[0].split("}")[0]
        raise DataError(f"{path}: the environment variable {variable} is not set; set it to the folder that it stands for")
    if not expanded.exists():
        nearest = expanded.parent
        while not nearest.exists():
            nearest = nearest.parent
        missing = expanded.relative_to(nearest).parts[0]
        hint = did_you_mean(missing, os.listdir(nearest)) if nearest.is_dir() else ""
        raise DataError(f"{expanded}: no such file or folder: {nearest} holds no '{missing}'{hint}")
    return expanded


def open_binary(path: Path) -> BinaryIO:
    """Opens a file for reading bytes, through gzip where its name ends in `.gz`."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]


def read_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, line without its end) of a text file, gzipped or not, `\\n` or `\\r\\n`.

    Raises:
        DataError: the bytes of a line are not of the encoding, or the gzip stream is damaged.
    """
    number = 0
    try:
        with open_binary(path) as stream:
            for number, raw in enumerate(stream, start=1):
                if number == 1 and encoding.lower().replace("-", "") == "utf8":
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                yield number, raw.decode(encoding).rstrip("\r\n")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"{path}:{number}: byte 0x{byte:02x} at column {error.start + 1} is not {encoding}; "
            f"give the reader the file's encoding, such as encoding: iso-8859-1"
        ) from error
    except (EOFError, OSError) as error:
        raise DataError(f"{path}:{number + 1}: cannot be read: {error}") from error
