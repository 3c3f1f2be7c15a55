"""Examples in Arrow on disk, read once from their files, and their encoding into flat columns."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from seqmodels.data.encoded import UNSEEN, Encoded, truncate
from seqmodels.data.ragged import Array, Ragged, RaggedWriter
from seqmodels.data.readers.reader import Example, Reader, read_examples
from seqmodels.data.schema import ExampleError, Schema
from seqmodels.errors import DataError
from seqmodels.registry import Spec

if TYPE_CHECKING:
    import datasets

CHUNK_ROWS = 1000
CHUNK_STEPS = 200_000  # some sequences are long, and a chunk is in memory as Python objects
CHUNK_BYTES = 2**24  # of Arrow, read at once
IN_MEMORY = 16 * 2**20  # bytes of encoded columns, beyond which they go to files

Convert = Callable[[Example], Example]


class Examples:
    """The examples of a split, in order, mapped from Arrow on disk; iterating reads a chunk at a time.

    Args:
        dataset: one row an example; a key that an example does not have is null.
        origin: the path or paths that they came from, for messages.
        sizes: how many of them (before any were chosen) came from each path; default: all from `origin`.
        chosen: (rows,) the number of each among those that the paths hold together; default: they are all there.
    """

    def __init__(
        self,
        dataset: datasets.Dataset,
        origin: str,
        *,
        sizes: Sequence[tuple[str, int]] = (),
        chosen: Array | None = None,
    ) -> None:
        self.dataset = dataset
        self.origin = origin
        self._sizes = sizes
        self._chosen = chosen

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> Example:
        return _without_nulls(self.dataset[row])

    def __iter__(self) -> Iterator[Example]:
        for chunk in self.chunks():
            yield from chunk

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[list[Example]]:
        """Yields lists of up to `rows` examples, of fewer where they are long."""
        table = self.dataset.data
        at_once = max(1, min(rows, CHUNK_BYTES * table.num_rows // max(1, table.nbytes)))
        for columns in self.dataset.iter(batch_size=at_once):
            values = zip(*columns.values(), strict=True)
            yield from _chunks(_without_nulls(dict(zip(columns, row, strict=True))) for row in values)

    def column(self, key: str) -> list[Any]:
        """Returns one key of all examples; reads no other."""
        return [value for chunk in self.dataset.select_columns([key]).iter(CHUNK_ROWS) for value in chunk[key]]

    def select(self, rows: Sequence[int] | Array) -> Examples:
        """Returns the examples of the chosen rows."""
        rows = np.asarray(rows, dtype=np.int64)
        chosen = rows if self._chosen is None else self._chosen[rows]
        return Examples(self.dataset.select(rows), self.origin, sizes=self._sizes, chosen=chosen)

    def located(self, error: DataError) -> DataError:
        """Returns an error of a schema with the path, and the number of the example in that file."""
        if not isinstance(error, ExampleError):
            return DataError(f"{self.origin}: {error}")
        path, number = self.origin, error.row if self._chosen is None else int(self._chosen[error.row])
        for name, size in self._sizes:
            if number < size:
                path = name
                break
            number -= size
        return DataError(f"{path}: {ExampleError(error.example, number, error.problem)}")


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Returns the folder for what can be made again: `cache_dir`, `$SEQMODELS_CACHE` or `~/.cache/seqmodels`."""
    chosen = cache_dir or os.environ.get("SEQMODELS_CACHE") or "~/.cache/seqmodels"
    return Path(os.path.expandvars(os.path.expanduser(chosen)))


def load_examples(
    reader: Reader,
    reader_spec: Spec,
    paths: Sequence[str],
    *,
    targets: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
    convert: Convert | None = None,
    conversion: str = "",
    names: Sequence[str] | None = None,
) -> Examples:
    """Streams the examples of files into Arrow on disk, or finds them there from an earlier time.

    They are read anew when a file, the reader's arguments or its code, or the version of this package has changed.
    Several processes may do so at once: each writes a file of its own and moves it to its place when it is complete.

    Args:
        reader: the reader.
        reader_spec: what the reader was made of.
        paths: files, folders, or whatever else the reader understands; their examples are joined in order.
        targets: whether the targets are wanted.
        cache_dir: where to keep the Arrow files; see `cache_folder`.
        convert: is applied to every example before it is stored.
        conversion: names what `convert` does; part of what the stored examples are found by.
        names: what errors call the paths; default: as they are.

    Raises:
        DataError: of the reader, with `path:line`; an example cannot be stored; or the folder cannot be written.
    """
    import datasets

    folder = cache_folder(cache_dir) / "examples"
    names = list(paths) if names is None else names
    parts = []
    for path, name in zip(paths, names, strict=True):
        key = _fingerprint(reader, reader_spec, path, f"{targets} {conversion}")
        stored = folder / f"{key}.arrow"
        if not stored.exists():
            examples = read_examples(reader, path, targets=targets)
            if convert is not None:
                examples = _converted(examples, convert, path)
            try:
                _write(examples, stored, _columns(reader, targets), path)
            except DataError as error:
                raise DataError(str(error).replace(path, name)) from error
        try:
            parts.append(datasets.Dataset.from_file(str(stored)))
        except OSError as error:
            raise DataError(
                f"{stored}: cannot be read: {error.strerror or error}; name a folder for examples by the environment "
                f"variable SEQMODELS_CACHE"
            ) from error
    joined = parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)
    return Examples(joined, ", ".join(names), sizes=list(zip(names, map(len, parts), strict=True)))


def _converted(examples: Iterable[Example], convert: Convert, path: str) -> Iterator[Example]:
    for number, example in enumerate(examples, start=1):
        try:
            yield convert(example)
        except DataError as error:
            raise DataError(f"{path}: example {number}: {error}") from error


def _without_nulls(row: dict[str, Any]) -> Example:
    return cast(Example, {key: value for key, value in row.items() if value is not None})


def _fingerprint(reader: Reader, reader_spec: Spec, path: str, options: str) -> str:
    """Returns a name for what a reader makes of a path as it is now."""
    resolved = reader.resolve(path)
    stamps: list[tuple[Any, ...]]
    if resolved.is_dir():
        stamps = [(str(file), *_stamp(file)) for file in sorted(resolved.rglob("*")) if file.is_file()]
    else:
        files = reader.files(resolved)
        stamps = [(str(file.absolute()), *_stamp(file)) if file.exists() else (str(file),) for file in files]
    versions = _version("seqmodels"), _version("datasets"), sys.version
    facts = [reader_spec, options, stamps, _code(type(reader)), versions]
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _code(reader: type[Reader]) -> tuple[Any, ...]:
    """Returns what changes with the code of a reader: the stamps of its files, those of its bases and of this package's
    readers; of a class without a file, as in a notebook, the class itself in this process."""
    files = set(Path(__file__).parent.glob("readers/*.py"))
    name = (reader.__module__, reader.__qualname__)
    for base in reader.__mro__[:-1]:
        try:
            files.add(Path(inspect.getsourcefile(base) or ""))
        except (OSError, TypeError):
            return (*name, os.getpid(), id(reader))
    return (*name, *((str(file), *_stamp(file)) for file in sorted(files)))


def _stamp(file: Path) -> tuple[int, int]:
    if not file.exists():
        return -1, -1
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _columns(reader: Reader, targets: bool) -> Any:
    """Returns the Arrow schema of what a reader gives."""
    import pyarrow

    types = {
        "text": pyarrow.string(),
        "tokens": pyarrow.list_(pyarrow.string()),
        "features": pyarrow.list_(pyarrow.list_(pyarrow.float32())),
        "label": pyarrow.string(),
        "labels": pyarrow.list_(pyarrow.string()),
        "tags": pyarrow.list_(pyarrow.string()),
        "target_text": pyarrow.string(),
        "mask": pyarrow.list_(pyarrow.bool_()),
        "id": pyarrow.string(),
    }
    present = [reader.inputs, *([reader.targets, "mask"] if targets and reader.targets else []), "id"]
    return pyarrow.schema([(key, types[key]) for key in present])


def _write(examples: Iterable[Example], stored: Path, columns: Any, origin: str) -> None:
    """Writes examples to an Arrow stream file, which appears under its name only when it is complete."""
    import pyarrow

    number = 0
    partial = None
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=stored.parent, prefix=stored.stem, suffix=".partial")
        os.close(handle)
        umask = os.umask(0)  # which can only be read by setting it
        os.umask(umask)
        os.chmod(partial, 0o666 & ~umask)  # others may share the cache
        with pyarrow.OSFile(partial, "wb") as sink, pyarrow.ipc.new_stream(sink, columns) as stream:
            for chunk in _chunks(examples):
                stream.write_batch(pyarrow.RecordBatch.from_pylist(chunk, schema=columns))
                number += len(chunk)
        os.replace(partial, stored)
        partial = None
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, UnicodeEncodeError) as error:
        raise DataError(f"{origin}: an example after number {number} cannot be stored: {error}") from error
    except OSError as error:
        raise DataError(
            f"{error.filename or stored.parent}: {error.strerror or error}; "
            f"name a folder for examples by the environment variable SEQMODELS_CACHE"
        ) from error
    finally:
        if partial is not None:
            os.unlink(partial)


def _chunks(examples: Iterable[Example]) -> Iterator[list[Example]]:
    chunk: list[Example] = []
    steps = 0
    for example in examples:
        chunk.append(example)
        steps += len(example.get("features") or example.get("tokens") or ())
        steps += (len(example.get("text", "")) + len(example.get("target_text", ""))) // 2
        if len(chunk) == CHUNK_ROWS or steps > CHUNK_STEPS:
            yield chunk
            chunk, steps = [], 0
    if chunk:
        yield chunk


@dataclass
class EncodedSplit:
    """The columns of a split, and what was counted while they were made.

    Attributes:
        encoded: the columns.
        unknown_tokens: steps whose token training did not have.
        unknown_characters: characters of tokens that training did not have.
        unseen: how often each class or tag occurs that training did not have.
        truncated: rows that were cut to the greatest length allowed.
        unknown_target_tokens: ids of the texts to be written that training did not have.
        kept: (n,) the rows that are trained on; None where all are.
        dropped: how many rows are not, by the reason.
        folder: holds the columns' files as long as this object lives; None where they are in memory.
    """

    encoded: Encoded
    unknown_tokens: int
    unknown_characters: int
    unseen: Counter[str]
    truncated: int
    unknown_target_tokens: int = 0
    kept: Array | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] | None = None


def encode_split(
    examples: Examples,
    schema: Schema,
    *,
    targets: bool = True,
    max_length: int | None = None,
    rewrite: Callable[[Encoded, Schema], Encoded] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    in_memory: int = IN_MEMORY,
) -> EncodedSplit:
    """Encodes the examples of a split, a chunk at a time; columns beyond `in_memory` bytes are mapped from files.

    The files lie in the cache folder and go when the result does.

    Args:
        examples: the examples.
        schema: how they become numbers.
        targets: whether to encode the targets too.
        max_length: longer rows are cut to so many steps; None for none.
        rewrite: is applied to the columns of each chunk.
        cache_dir: see `cache_folder`.
        in_memory: bytes.

    Raises:
        DataError: an example does not fit the schema; names its path, and the example by its number there.
    """
    columns = _Columns(in_memory, cache_dir)
    unknown_tokens = unknown_characters = unknown_target_tokens = truncated = number = 0
    unseen: Counter[str] = Counter()
    for chunk in examples.chunks():
        try:
            encoded = schema.encode(chunk, targets=targets, first=number)
        except DataError as error:
            raise examples.located(error) from error
        if targets and schema.target:
            unseen.update(_unseen(chunk, schema, encoded))
        if max_length is not None:
            truncated += int(np.count_nonzero(encoded.steps().lengths() > max_length))
            encoded = truncate(encoded, max_length)
        if schema.tokens and encoded.ids is not None:
            unknown_tokens += int(np.count_nonzero(encoded.ids.values == schema.tokens.tokenizer.unk_id))
        if schema.target_tokens and encoded.target_ids is not None:
            unknown_id = schema.target_tokens.tokenizer.unk_id
            unknown_target_tokens += int(np.count_nonzero(encoded.target_ids.values == unknown_id))
        if encoded.characters is not None:
            unknown_characters += int(np.count_nonzero(encoded.characters.values == 1))
        try:
            columns.append(encoded if rewrite is None else rewrite(encoded, schema))
        except ExampleError as error:
            found = ExampleError(chunk[error.row], number + error.row, error.problem)
            raise examples.located(found) from error
        number += len(chunk)
    return EncodedSplit(
        *(columns.finish(), unknown_tokens, unknown_characters, unseen, truncated, unknown_target_tokens),
        folder=columns.folder,
    )


def _unseen(chunk: Sequence[Example], schema: Schema, encoded: Encoded) -> Iterator[str]:
    """Yields each occurrence of a class or tag in the chunk that the schema does not know."""
    target = schema.target
    assert target
    if target.kind == "labels":
        for example in chunk:
            yield from (name for name in example["labels"] if target.id_of(name) == UNSEEN)
        return
    ids = encoded.targets.values if isinstance(encoded.targets, Ragged) else encoded.targets
    assert ids is not None
    if not (ids == UNSEEN).any():
        return
    for example in chunk:
        if target.kind == "label":
            names = [example["label"]]
        else:
            mask = example.get("mask") or [True] * len(example["tags"])
            names = [tag for tag, kept in zip(example["tags"], mask, strict=True) if kept]
        yield from (name for name in names if target.id_of(name) == UNSEEN)


class _Columns:
    """Joins encoded chunks, in memory as long as they are small, then in files of a temporary folder."""

    def __init__(self, in_memory: int, cache_dir: str | os.PathLike[str] | None) -> None:
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self._in_memory = in_memory
        self._cache_dir = cache_dir
        self._bytes = 0
        self._pieces: dict[str, list[Ragged]] = {}
        self._writers: dict[str, RaggedWriter] = {}
        self._flat: dict[str, list[Array]] = {}

    def append(self, encoded: Encoded) -> None:
        """Puts the rows of `encoded` behind those already there."""
        for column in fields(encoded):
            value = getattr(encoded, column.name)
            if isinstance(value, Ragged):
                self._pieces.setdefault(column.name, []).append(value)
                self._bytes += value.values.nbytes
            elif value is not None:
                self._flat.setdefault(column.name, []).append(value)
        if self._bytes > self._in_memory:
            self._spill()

    def finish(self) -> Encoded:
        """Returns all rows."""
        if self.folder is not None:
            self._spill()
        columns: dict[str, Any] = {name: writer.finish() for name, writer in self._writers.items()}
        for name in list(self._pieces):
            pieces = self._pieces.pop(name)  # so that no column is in memory twice but the one being joined
            if pieces:
                lengths = np.concatenate([np.zeros(1, dtype=np.int64), *(piece.lengths() for piece in pieces)])
                columns[name] = Ragged(np.concatenate([piece.values for piece in pieces]), np.cumsum(lengths))
        columns |= {name: np.concatenate(arrays) for name, arrays in self._flat.items()}
        return Encoded(**columns)

    def _spill(self) -> None:
        if self.folder is None:
            place = cache_folder(self._cache_dir)
            place.mkdir(parents=True, exist_ok=True)
            self.folder = tempfile.TemporaryDirectory(dir=place, prefix="encoded-", ignore_cleanup_errors=True)
        for name, pieces in self._pieces.items():
            if name not in self._writers:
                self._writers[name] = RaggedWriter(Path(self.folder.name) / name)
            for piece in pieces:
                self._writers[name].append(piece)
            pieces.clear()
        self._bytes = 0


def _version(package: str) -> str:
    """Returns the version of a package; none of one that is used from its source tree without being installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
