"""A folder of text files for each class, on disk or in an archive."""

from __future__ import annotations

import re
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from seqmodels.data.readers.reader import (
    DAMAGED,
    STANDARD_INPUT,
    Example,
    Reader,
    check_encoding,
    decode,
    register_reader,
    without_mark,
)
from seqmodels.errors import DataError, did_you_mean

LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
Contents = Mapping[str, Callable[[], bytes]]  # name of a file, with / between folders, to what reads its bytes


@register_reader("text_folders")
class TextFoldersReader(Reader):
    """Reads one text file an example; the folder that it lies in is its class.

    The path is a folder or a `.zip`, `.tar`, `.tar.gz`, `.tar.bz2` or `.tar.xz` archive. The order is that of the
    names, class by class, the same on disk and in an archive. A file's path below `inside` names the example.

    Args:
        inside: the folder in which the class folders lie, relative to the path; default: the path itself.
        folders: the class folders to read; default: all.
        extension: the end of the names of the files to read.
        line_breaks: whether HTML line breaks (`<br />`) are read as the line breaks that they stand for.
        encoding: the files' character encoding.

    Files beside the class folders are passed over. Without targets a folder that holds only files, no class folders,
    is read as well.
    """

    inputs = "text"
    targets = "label"

    def __init__(
        self,
        *,
        inside: str = "",
        folders: Sequence[str] | None = None,
        extension: str = ".txt",
        line_breaks: bool = False,
        encoding: str = "utf-8",
    ) -> None:
        self._inside = [part for part in inside.split("/") if part not in ("", ".")]
        self._folders = None if folders is None else list(folders)
        self._extension = extension
        self._line_breaks = line_breaks
        self._encoding = check_encoding(encoding, lines=False)

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields an example a file.

        Raises:
            DataError: no folder and no archive, a damaged archive, no such folder inside, bytes not of the encoding.
        """
        if path == STANDARD_INPUT:
            raise DataError("folders of text files cannot be read from standard input; name the folder or archive")
        with _opened(path)(path, self._wanted) as contents:
            found = sorted((name.split("/")[len(self._inside) :], name) for name in contents)
            self._check_folders({parts[0] for parts, _ in found if len(parts) > 1}, path)
            for parts, name in self._chosen(found, targets):
                raw = without_mark(contents[name](), self._encoding)
                text = decode(raw, self._encoding, f"{path}/{name}" if path.is_dir() else f"{path}:{name}")
                if self._line_breaks:
                    text = LINE_BREAK.sub("\n", text)
                example: Example = {"text": text.strip(), "id": "/".join(parts)}
                if targets:
                    example["label"] = parts[0]
                yield example

    def _wanted(self, name: str) -> bool:
        parts = name.split("/")
        hidden = parts[-1].startswith(".")
        return name.endswith(self._extension) and not hidden and parts[: len(self._inside)] == self._inside

    def _chosen(self, found: list[tuple[list[str], str]], targets: bool) -> list[tuple[list[str], str]]:
        in_folders = [(parts, name) for parts, name in found if len(parts) > 1]
        if not in_folders and not targets:
            return found
        return [(parts, name) for parts, name in in_folders if self._folders is None or parts[0] in self._folders]

    def _check_folders(self, present: set[str], path: Path) -> None:
        for folder in self._folders or ():
            if folder not in present:
                listed = ", ".join(sorted(present)) or "none"
                raise DataError(
                    f"{path}: no class folder '{folder}' with {self._extension} files in "
                    f"'{'/'.join(self._inside) or '.'}'; the folders are: {listed}{did_you_mean(folder, present)}"
                )


def _opened(path: Path) -> Callable[[Path, Callable[[str], bool]], AbstractContextManager[Contents]]:
    """Returns the function that opens what lies at `path`.

    Raises:
        DataError: neither a folder nor an archive.
    """
    if path.is_dir():
        return _folder
    if zipfile.is_zipfile(path):
        return _zip
    if re.search(r"\.(tar|tgz|tar\.\w+)$", path.name):
        return _tar
    raise DataError(f"{path}: expected a folder or a .zip, .tar or .tar.gz archive")


@contextmanager
def _folder(path: Path, wanted: Callable[[str], bool]) -> Iterator[Contents]:
    files = {file.relative_to(path).as_posix(): file.read_bytes for file in path.rglob("*") if file.is_file()}
    yield {name: read for name, read in files.items() if wanted(name)}


@contextmanager
def _zip(path: Path, wanted: Callable[[str], bool]) -> Iterator[Contents]:
    def reading(name: str) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                return archive.read(name)
            except (zipfile.BadZipFile, *DAMAGED) as error:
                raise DataError(f"{path}:{name}: cannot be read: {error}") from error

        return read

    with zipfile.ZipFile(path) as archive:
        yield {name: reading(name) for name in archive.namelist() if not name.endswith("/") and wanted(name)}


@contextmanager
def _tar(path: Path, wanted: Callable[[str], bool]) -> Iterator[Contents]:
    """A tar archive can only be read from front to end, so its files wait on disk, in one, to be read in order."""
    with tempfile.TemporaryFile() as spool:

        def reading(start: int, size: int) -> Callable[[], bytes]:
            def read() -> bytes:
                spool.seek(start)
                return spool.read(size)

            return read

        contents = {}
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    stream = archive.extractfile(member) if member.isfile() and wanted(name) else None
                    if stream is not None:
                        contents[name] = reading(spool.tell(), member.size)
                        spool.write(stream.read())
        except (tarfile.TarError, OSError, *DAMAGED) as error:
            raise DataError(f"{path}: cannot be read as an archive: {error}") from error
        yield contents
