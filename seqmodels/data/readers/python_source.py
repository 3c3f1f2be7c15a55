"""Corpora that every Python carries: the sources of its own standard library, read and never executed."""

from __future__ import annotations

import ast
import io
import os
import textwrap
import tokenize
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from seqmodels.data.readers.python_roles import tagged_lines
from seqmodels.data.readers.python_tokens import Token, logical_lines, parse
from seqmodels.data.readers.reader import DAMAGED, Example, Reader, open_binary, register_reader, resolve_path
from seqmodels.errors import ConfigurationError, DataError

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # the share of each
_SAMPLED = {
    "train": 0.5,
    "validation": 0.2,
    "test": 0.2,
}  # the share of a file's lines, so that splits are of more files

# Packages that distributions of Python split off, or that later versions have dropped.
_NOT_EVERYWHERE = {"idlelib", "lib2to3", "turtledemo", "tkinter", "distutils", "msilib"}
# Those, tests and generated tables.
_SKIPPED = _NOT_EVERYWHERE | {
    "test", "tests", "site-packages", "dist-packages", "__pycache__", "ensurepip", "pydoc_data", "encodings",
    "lib-dynload", "__phello__",
}  # fmt: skip

# In every CPython from 3.10 on, each with several files and at least a hundred functions.
PACKAGES = ("asyncio", "email", "http", "importlib", "logging", "multiprocessing", "unittest", "urllib", "xml")


class _StandardLibrary(Reader):
    """Shared by the readers of Python source: a path is a split of the standard library, or any file of Python."""

    def resolve(self, path: str) -> Path:
        """Returns the split `train`, `validation` or `test` as a name in the library's folder, anything else as a file.

        Raises:
            DataError: there is no such split or file; or this Python came without the sources of its library.
        """
        if path in SPLITS:
            return _library() / path
        try:
            return resolve_path(path)
        except DataError as error:
            raise DataError(
                f"{error}; this reader takes one of {', '.join(SPLITS)} (of the standard library) or a file of Python"
            ) from error

    def split_of(self, path: Path) -> str | None:
        """Returns the split that a resolved path stands for, None for a file."""
        return path.name if path.name in SPLITS and path.parent == _library_folder() else None


@register_reader("python_tagging")
class PythonTagging(_StandardLibrary):
    """Logical lines of Python, each token with its syntactic role; the paths are `train`, `validation` and `test`.

    The corpus is a sample of the lines of the running Python's standard library: files are assigned to the splits by a
    hash of their names and read in the order of another until a split is full. A line that was in the split already is
    left out, and so is one of more than `max_tokens`. Any other path is a file of Python, read whole.

    Args:
        lines: how many lines of `train`; `validation` and `test` get an eighth of it each.
        max_tokens: the longest line of a split, in tokens (longer ones are tables of data).
    """

    inputs = "tokens"
    targets = "tags"

    def __init__(self, lines: int = 20_000, max_tokens: int = 80) -> None:
        for name, value in (("lines", lines), ("max_tokens", max_tokens)):
            if value < 1:
                raise ConfigurationError(f"python_tagging: {name} must be a positive integer, got {value!r}")
        self.lines = lines
        self.max_tokens = max_tokens

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields the lines of a split or of a file; without targets the file need not parse, only divide into tokens.

        Raises:
            DataError: the file is not Python.
        """
        split = self.split_of(path)
        if split is None:
            yield from self._read_file(path, str(path), targets)
            return
        limit = round(self.lines * SPLITS[split] / SPLITS["train"])
        seen: set[tuple[str, ...]] = set()
        for name, file in _files_of(split):
            for example in _unless_foreign(self._read_file(file, name, targets)):
                words = tuple(example["tokens"])
                sampled = _fraction(example["id"], "line") < _SAMPLED[split]
                if sampled and len(words) <= self.max_tokens and words not in seen:
                    seen.add(words)
                    yield example
                if len(seen) >= limit:
                    return

    def _read_file(self, path: Path, name: str, targets: bool) -> Iterator[Example]:
        source = read_source(path)
        pairs: Iterator[tuple[list[Token], list[str]]]
        pairs = tagged_lines(source) if targets else ((line, []) for line in logical_lines(source))
        try:
            for line, roles in pairs:
                tokens = [token.text for token in line]
                identity = f"{name}:{line[0].start[0]}"
                yield (
                    {"id": identity, "tokens": tokens, "tags": roles} if targets else {"id": identity, "tokens": tokens}
                )
        except (SyntaxError, tokenize.TokenError, ValueError, RecursionError) as error:
            raise _not_python(path, error) from error


@register_reader("python_classification")
class PythonClassification(_StandardLibrary):
    """Functions of Python with the package that each comes from; the paths are `train`, `validation` and `test`.

    The corpus is nine packages of the running Python's standard library, the files of each divided among the splits.
    The text is the source of one function or method without its docstring. Any other path is a file of Python, whose
    functions are read; they have no label.

    Args:
        functions: how many functions of each package at most in `train`; `validation` and `test` get a quarter of it.
        max_characters: the longest text of a split, in characters.
    """

    inputs = "text"
    targets = "label"

    def __init__(self, functions: int = 400, max_characters: int = 2_000) -> None:
        for name, value in (("functions", functions), ("max_characters", max_characters)):
            if value < 1:
                raise ConfigurationError(f"python_classification: {name} must be a positive integer, got {value!r}")
        self.functions = functions
        self.max_characters = max_characters

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields the functions of a split, package by package, or of a file.

        Raises:
            DataError: the file is not Python, or is to be read with targets.
        """
        split = self.split_of(path)
        if split is not None:
            for package in PACKAGES:
                yield from self._read_package(package, split, targets)
        elif targets:
            raise DataError(
                f"{path}: python_classification knows the packages of the standard library alone; "
                f"a file of Python can be predicted on, for training and testing give one of {', '.join(SPLITS)}"
            )
        else:
            yield from _functions(path, str(path))

    def _read_package(self, package: str, split: str, targets: bool) -> Iterator[Example]:
        limit = self.functions if split == "train" else round(self.functions / 4)
        seen: set[str] = set()
        for name, file in _files_of_package(package, split):
            for example in _unless_foreign(_functions(file, name)):
                text = example["text"]
                if len(seen) < limit and len(text) <= self.max_characters and text.count("\n") and text not in seen:
                    seen.add(text)
                    yield {**example, "label": package} if targets else example


def read_source(path: Path) -> str:
    """Returns the text of a file of Python (gzipped or not), in the encoding that it declares, `\\n` at line ends.

    Raises:
        DataError: the file cannot be read, or is not of its encoding.
    """
    try:
        with open_binary(path) as stream:
            content = stream.read()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return io.TextIOWrapper(io.BytesIO(content), encoding=encoding).read()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: byte 0x{error.object[error.start]:02x} is not {error.encoding}; "
            f"declare the encoding in the first line, such as # coding: latin-1"
        ) from error
    except (OSError, SyntaxError, *DAMAGED) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _functions(path: Path, name: str) -> Iterator[Example]:
    """Yields the functions and methods of a file, in order; those inside another function are part of that one."""
    source = read_source(path)
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise _not_python(path, error) from error
    lines = source.split("\n")
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield {"id": f"{name}:{node.lineno}", "text": _text_of(node, lines)}
        else:
            pending.extend(reversed(list(ast.iter_child_nodes(node))))


def _text_of(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """Returns the source of a function, its indentation and its docstring removed."""
    kept = list(range(node.lineno - 1, node.end_lineno or node.lineno))
    if ast.get_docstring(node, clean=False) is not None and len(node.body) > 1:
        docstring = node.body[0]
        if docstring.lineno > node.lineno and node.body[1].lineno > (docstring.end_lineno or docstring.lineno):
            kept = [number for number in kept if not docstring.lineno <= number + 1 <= (docstring.end_lineno or 0)]
    return textwrap.dedent("\n".join(lines[number] for number in kept))


def _not_python(path: Path, error: Exception) -> DataError:
    """Returns what to say of a file that cannot be divided into tokens or parsed."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    reason = error.msg if isinstance(error, SyntaxError) else error
    if isinstance(error, tokenize.TokenError):
        reason, (line, _) = error.args
    return DataError(f"{path}:{line or 1}: expected Python source, found: {reason}")


def _unless_foreign(examples: Iterator[Example]) -> Iterator[Example]:
    """Ends at the first fault of a file: a distribution may have put one of another Python into the library."""
    try:
        yield from examples
    except DataError:
        return


def _library() -> Path:
    """Returns the folder of the standard library.

    Raises:
        DataError: it holds no sources, as in a frozen or zipped Python.
    """
    folder = _library_folder()
    if not (folder / "ast.py").exists():
        raise DataError(f"{folder}: this Python came without its library's sources; use another, or other data")
    return folder


def _library_folder() -> Path:
    return Path(os.__file__).parent


def _all_files(folder: Path, below: str = "", skipped: Collection[str] = _SKIPPED) -> list[tuple[str, Path]]:
    """Returns the (name relative to `folder`, path) of the sources, in the order of a hash of the names.

    Args:
        folder: of the library.
        below: the folder inside it that is wanted.
        skipped: names of folders that are passed over.
    """
    names = []
    for root, folders, files in os.walk(folder / below):
        folders[:] = [name for name in folders if name not in skipped and not name.startswith("config-")]
        names += [(Path(root, file).relative_to(folder).as_posix()) for file in files if file.endswith(".py")]
    return [(name, folder / name) for name in sorted(names, key=lambda name: (_fraction(name, "order"), name))]


def _files_of(split: str) -> Iterator[tuple[str, Path]]:
    """Yields the files of a split: each file belongs to one, by the hash of its name."""
    for name, path in _all_files(_library()):
        place = _fraction(name, "split")
        if split == ("train" if place < 0.8 else "validation" if place < 0.9 else "test"):
            yield name, path


def _files_of_package(package: str, split: str) -> Iterator[tuple[str, Path]]:
    """Yields a package's files of a split: a package has few, so their sizes and not their number are divided."""
    files = _all_files(_library(), package)
    sizes = {name: path.stat().st_size for name, path in files}
    held = dict.fromkeys(SPLITS, 0.0)
    for name, path in sorted(files, key=lambda file: -sizes[file[0]]):
        # The largest file first, and each to the split that is furthest from its share.
        neediest = min(SPLITS, key=lambda known: held[known] / SPLITS[known])
        held[neediest] += sizes[name]
        if neediest == split:
            yield name, path


def _fraction(name: str, purpose: str) -> float:
    """Returns a number in [0, 1) that depends on the name alone, the same on every machine."""
    return zlib.crc32(f"{purpose}:{name}".encode()) / 2**32
