"""FASTA: sequences of letters, alone or with labels and a mask in files of the same format."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from seqmodels.data.readers.reader import STANDARD_INPUT, Example, Reader, decode_lines, read_lines, register_reader
from seqmodels.errors import ConfigurationError, DataError, did_you_mean


@dataclass(frozen=True)
class Record:
    """One entry of a FASTA file: where its header is, its name, the header's KEY=VALUE pairs, and its letters."""

    where: str
    name: str
    attributes: dict[str, str]
    letters: str


@register_reader("fasta")
class FastaReader(Reader):
    """Reads sequences whose tokens are single letters, with one label a letter.

    Labels and mask are files of the same format with the same names in the same order. The path is a `.zip` or a
    folder that holds the files, or the file of sequences itself, beside which the others lie. A header is
    `>name KEY=VALUE ...`; the name names the example.

    Args:
        sequences: name of the file of sequences in the zip or folder; needless if the path is that file.
        labels: name of the file of labels, one letter for each of the sequence; default: none.
        mask: name of the file of masks: `1` where the label is scored, `0` where not; default: all are.
        where: only records whose header (in any of the files) has these KEY=VALUE pairs, such as
            `{SET: train, VALIDATION: "False"}`; default: all.

    Without targets a file of sequences is read alone if the files of labels and mask are not there, all of it then.
    """

    inputs = "tokens"

    def __init__(
        self,
        *,
        sequences: str | None = None,
        labels: str | None = None,
        mask: str | None = None,
        where: Mapping[str, str] | None = None,
    ) -> None:
        if mask is not None and labels is None:
            raise ConfigurationError("a mask says which labels are scored; name the file of `labels` too")
        self.targets = None if labels is None else "tags"
        self._sequences = sequences
        self._labels = labels
        self._mask = mask
        self._where = {str(key): str(value) for key, value in (where or {}).items()}

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a record.

        Raises:
            DataError: a file is missing, the files' records differ in name, number or length, or no header has what
                `where` asks for.
        """
        with ExitStack() as opened:
            files = _Zipped(opened.enter_context(zipfile.ZipFile(path)), path) if _is_zip(path) else _Unzipped(path)
            names = [self._sequence_file(files, path)]
            select = self._where
            if self._labels is not None:
                if targets or files.file(self._labels) is not None:
                    names += [self._labels, *([self._mask] if targets and self._mask is not None else [])]
                else:
                    select = {}
            seen: set[str] = set()
            empty = True
            for records in _together([_records(files, name, path) for name in names]):
                empty = False
                attributes = {key: value for record in records for key, value in record.attributes.items()}
                seen.update(attributes)
                if all(attributes.get(key) == value for key, value in select.items()):
                    yield _example(records, targets)
            for key in select:
                if key not in seen and not empty:
                    raise DataError(f"{path}: no header has {key}=...; they have: {', '.join(sorted(seen)) or 'none'}")

    def files(self, path: Path) -> list[Path]:
        """Returns the file of sequences with those of labels and mask beside it; a zip or a folder is whole."""
        beside = () if path.is_dir() or _is_zip(path) else (self._labels, self._mask)
        return [path, *(path.parent / name for name in beside if name is not None)]

    def _sequence_file(self, files: _Files, path: Path) -> str:
        if self._sequences is not None and files.sequences is None:
            return self._sequences
        if files.sequences is None:
            raise DataError(f"{path}: say which file holds the sequences, by `sequences`; it holds: {files.listed()}")
        return files.sequences


class _Files:
    """The files of a data set, by their names."""

    sequences: str | None = None  # the file of sequences, where the path says it

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def file(self, name: str) -> str | None:
        """Returns the file of that name, in whatever folder if there is but one; None if there is none."""
        if name in self.names:
            return name
        found = [known for known in self.names if known.endswith("/" + name)]
        return found[0] if len(found) == 1 else None

    def listed(self) -> str:
        """Returns the names as an error lists them."""
        return ", ".join(self.names[:16]) or "none"

    def lines(self, name: str) -> Iterator[tuple[str, str]]:
        """Yields (`path:line`, line) of a file."""
        raise NotImplementedError


class _Unzipped(_Files):
    """A folder, or a file and its neighbours."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path if path.is_dir() else path.parent
        self.sequences = None if path.is_dir() else path.name
        alone = path == STANDARD_INPUT
        super().__init__(
            [path.name] if alone else sorted(file.name for file in self._folder.iterdir() if file.is_file())
        )

    def lines(self, name: str) -> Iterator[tuple[str, str]]:
        """Yields (`path:line`, line) of a file."""
        path = self._path if self._path == STANDARD_INPUT else self._folder / name
        for number, line in read_lines(path):
            yield f"{path}:{number}", line


class _Zipped(_Files):
    """A zip archive."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive = archive
        self._path = path
        super().__init__([name for name in archive.namelist() if not name.endswith("/")])

    def lines(self, name: str) -> Iterator[tuple[str, str]]:
        """Yields (`zip:file:line`, line) of a file."""
        try:
            with self._archive.open(name) as stream:
                for number, line in decode_lines(stream, f"{self._path}:{name}"):
                    yield f"{self._path}:{name}:{number}", line
        except zipfile.BadZipFile as error:
            raise DataError(f"{self._path}:{name}: cannot be read: {error}") from error


def _is_zip(path: Path) -> bool:
    return path.is_file() and zipfile.is_zipfile(path)


def _records(files: _Files, name: str, path: Path) -> Iterator[Record]:
    """Yields the records of one file.

    Raises:
        DataError: there is no such file, letters come before the first header, or a header has no name.
    """
    file = files.file(name)
    if file is None:
        raise DataError(f"{path}: no file '{name}'; the files are: {files.listed()}{did_you_mean(name, files.names)}")
    header, header_where = "", ""
    letters: list[str] = []
    for where, line in files.lines(file):
        line = line.strip()
        if line.startswith(">"):
            if header:
                yield _record(header, header_where, letters)
            header, header_where, letters = line, where, []
            if not line[1:].strip():
                raise DataError(f"{where}: expected a name after >, found nothing")
        elif line and not header:
            raise DataError(f"{where}: expected a header that begins with >, found {line[:40]!r}")
        elif line:
            letters.append(line)
    if header:
        yield _record(header, header_where, letters)


def _record(header: str, where: str, letters: list[str]) -> Record:
    name, *words = header[1:].split()
    attributes = dict(word.split("=", 1) for word in words if "=" in word)
    return Record(where, name, attributes, "".join(letters))


def _together(files: list[Iterator[Record]]) -> Iterator[tuple[Record, ...]]:
    """Yields the records of several files side by side.

    Raises:
        DataError: they differ in name, number or length.
    """
    for records in zip_longest(*files):
        present = [record for record in records if record is not None]
        first = present[0]
        if len(present) < len(records):
            raise DataError(f"{first.where}: record '{first.name}' is missing at the end of another of the files")
        for record in present[1:]:
            if record.name != first.name:
                raise DataError(
                    f"{record.where}: expected record '{first.name}' as at {first.where}, found '{record.name}'; "
                    f"the files must hold the same records in the same order"
                )
            if len(record.letters) != len(first.letters):
                raise DataError(
                    f"{record.where}: expected {len(first.letters)} letters for '{first.name}' as at {first.where}, "
                    f"found {len(record.letters)}"
                )
        yield tuple(present)


def _example(records: tuple[Record, ...], targets: bool) -> Example:
    example: Example = {"tokens": list(records[0].letters), "id": records[0].name}
    if targets and len(records) > 1:
        example["tags"] = list(records[1].letters)
    if targets and len(records) > 2:
        flags = records[2].letters
        if set(flags) - {"0", "1"}:
            raise DataError(f"{records[2].where}: expected a mask of 0 and 1, found {min(set(flags) - {'0', '1'})!r}")
        example["mask"] = [flag == "1" for flag in flags]
    return example
