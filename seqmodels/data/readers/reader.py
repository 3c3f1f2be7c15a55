"""The contract of a reader, and the registry of readers."""

from __future__ import annotations

import codecs
import gzip
import os
import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypedDict

from seqmodels.errors import ConfigurationError, DataError, did_you_mean
from seqmodels.registry import Registry, Spec

STANDARD_INPUT = Path("-")
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)  # what a truncated or damaged compressed stream raises


class Example(TypedDict, total=False):
    """One sequence and what is to be learned of it: one of the inputs, and one of the targets where there is one.

    Inputs: `text` (raw), `tokens` (words, kept as they are), `features` (time x size numbers).
    Targets: `label` (one class), `labels` (any number of classes), `tags` (one for each token), `target_text` (raw text
    that is to be written, such as a translation).
    `mask` (one for each tag) is False where a tag is not scored. `id` names the example in predictions.
    """

    text: str
    tokens: list[str]
    features: list[list[float]]
    label: str
    labels: list[str]
    tags: list[str]
    target_text: str
    mask: list[bool]
    id: str


class Reader(ABC):
    """Streams the examples of a file (or folder) in order, holding no more than one in memory.

    With `targets=False` it reads inputs alone, as for prediction: a missing label column is no error then.
    """

    inputs: str  # the key of Example that holds the input: "text", "tokens" or "features"
    targets: str | None  # the key of the target: "label", "labels", "tags", "target_text"; None if there is none

    @abstractmethod
    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields the examples of the file at `path`.

        Raises:
            DataError: `path:line`, what was expected there and what was found.
        """

    def resolve(self, path: str) -> Path:
        """Returns what to hand to `read` for a path as the user wrote it; a reader of other things than files differs.

        Raises:
            DataError: see `resolve_path`.
        """
        return resolve_path(path)

    def files(self, path: Path) -> list[Path]:
        """Returns the files that `read(path)` looks at, there or not: what was read is read anew when one changes."""
        return [path]


reader_registry: Registry[Reader] = Registry("reader", Reader)
register_reader = reader_registry.register
list_readers = reader_registry.names


def create_reader(spec: Spec) -> Reader:
    """Builds the reader that a spec names: `"conllu"`, or `{"name": "csv", "text": "sentence", "label": "polarity"}`.

    Raises:
        ConfigurationError: the name or an argument is unknown, missing or out of range.
    """
    return reader_registry.create(spec)


def expand_path(path: str | os.PathLike[str]) -> Path:
    """Expands `~` and `$VARIABLES` in a path.

    Raises:
        DataError: a variable is not set.
    """
    expanded = Path(os.path.expandvars(os.path.expanduser(path)))
    if "$" in str(expanded):
        variable = str(expanded).split("$", 1)[1].strip("{").split("/")[0].split("}")[0]
        raise DataError(
            f"{path}: the environment variable {variable} is not set; set it to the folder that it stands for"
        )
    return expanded


def resolve_path(path: str | os.PathLike[str]) -> Path:
    """Expands `~` and `$VARIABLES` in a path and checks that something is there; `-`, standard input, stays.

    Raises:
        DataError: a variable is not set, or there is no such file; names the nearest name in that folder.
    """
    if os.fspath(path) == "-":
        return STANDARD_INPUT
    expanded = expand_path(path)
    if not expanded.exists():
        nearest = expanded.parent
        while not nearest.exists():
            nearest = nearest.parent
        missing = expanded.relative_to(nearest).parts[0]
        hint = did_you_mean(missing, os.listdir(nearest)) if nearest.is_dir() else ""
        raise DataError(f"{expanded}: no such file or folder: {nearest} holds no '{missing}'{hint}")
    return expanded


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for reading bytes, through gzip where its name ends in `.gz`; `-` is standard input."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
        yield stream  # type: ignore[misc]


def check_encoding(encoding: str, *, lines: bool = True) -> str:
    """Returns the name of a character encoding if Python knows it.

    Args:
        encoding: the name.
        lines: whether the file is cut into lines before it is decoded, so that a line must end in a byte of its own.

    Raises:
        ConfigurationError: it does not, or the encoding writes the end of a line otherwise.
    """
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise ConfigurationError(f"unknown encoding '{encoding}'; common ones: utf-8, iso-8859-1, cp1252") from error
    if lines and b"\n".decode(encoding, "replace") != "\n":
        raise ConfigurationError(
            f"encoding '{encoding}' does not end a line in the one byte that lines are cut at; write the file anew in "
            f"utf-8 (iconv -f {encoding} -t utf-8)"
        )
    return encoding


def decode(raw: bytes, encoding: str, where: str) -> str:
    """Decodes the bytes found at `where`; a byte order mark before UTF-8 is dropped by the caller that sees the start.

    Raises:
        DataError: the bytes are not of the encoding.
    """
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: byte 0x{raw[error.start]:02x} at column {error.start + 1} is not {encoding}; "
            f"give the reader the file's encoding, such as encoding: iso-8859-1"
        ) from error


def without_mark(raw: bytes, encoding: str) -> bytes:
    """Drops the byte order mark that some editors put before UTF-8."""
    return raw.removeprefix(codecs.BOM_UTF8) if codecs.lookup(encoding).name == "utf-8" else raw


def decode_lines(stream: Iterable[bytes], name: str | Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, line without its end) of an open stream, `\\n` or `\\r\\n`; errors call it `name`.

    Raises:
        DataError: the bytes of a line are not of the encoding, or the compressed stream is damaged.
    """
    number = 0
    try:
        for number, raw in enumerate(stream, start=1):
            if number == 1:
                raw = without_mark(raw, encoding)
            yield number, decode(raw, encoding, f"{name}:{number}").rstrip("\r\n")
    except DAMAGED as error:
        raise DataError(f"{name}:{number + 1}: cannot be read: {error}") from error


def read_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, line without its end) of a text file, gzipped or not, or of standard input (`-`).

    Raises:
        DataError: see `decode_lines`; or the path is a folder, or may not be read.
    """
    try:
        with open_binary(path) as stream:
            yield from decode_lines(stream, path, encoding)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_examples(reader: Reader, path: str | os.PathLike[str], *, targets: bool = True) -> Iterator[Example]:
    """Yields the examples at `path` and checks what the reader promises: the way in for whatever uses a reader.

    Args:
        reader: the reader of the format.
        path: a file or folder as the user names it; `~`, `$VARIABLES` and, for readers of lines, `-` are understood.
        targets: whether the targets are wanted; prediction does without.

    Raises:
        DataError: nothing is there, it holds no examples, or an example's parts differ in length.
    """
    resolved = reader.resolve(os.fspath(path))
    number = 0
    for number, example in enumerate(reader.read(resolved, targets=targets), start=1):
        check_lengths(example, reader.inputs, f"{resolved}: example {number}")
        yield example
    if number == 0:
        raise DataError(f"{resolved}: holds no examples")


def check_lengths(example: Example, inputs: str, where: str) -> None:
    """Checks that an example found at `where` has a tag and a mask for each of its `inputs`, and even features.

    Raises:
        DataError: it has not.
    """
    steps = len(example["tokens"]) if "tokens" in example else len(example.get("features", ()))
    for key, values in (("tags", example.get("tags")), ("mask", example.get("mask"))):
        if values is not None and len(values) != steps:
            raise DataError(f"{where}: expected {steps} {key}, one for each of its {inputs}, found {len(values)}")
    sizes = set(map(len, example.get("features", ())))
    if len(sizes) > 1:
        raise DataError(f"{where}: expected as many features at every step, found {', '.join(map(str, sorted(sizes)))}")
