"""The functions of Python's standard library as texts: a corpus of a language that every installation carries."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from seqmodels.data.readers.python_source import (
    _files_of,
    _not_python,
    _StandardLibrary,
    _unless_foreign,
    read_source,
)
from seqmodels.data.readers.python_tokens import parse
from seqmodels.data.readers.reader import Example, register_reader
from seqmodels.errors import ConfigurationError

INDENT = 4
Function = ast.FunctionDef | ast.AsyncFunctionDef


@register_reader("python_functions")
class PythonFunctions(_StandardLibrary):
    """Functions of Python as texts for a language model; the paths are `train`, `validation` and `test`.

    The corpus is every function and method of the running Python's standard library, without its decorators; a function
    inside another is part of that one. Files are assigned to the splits by a hash of their names: eight tenths, one
    and one. A text begins at the margin, each level is indented by four spaces, and no line ends in blanks. A text that
    was in the split already is left out, and so is one of more than `max_characters`. Any other path is a file of
    Python, whose functions are read whatever their length.

    Args:
        max_characters: the longest text of a split, in characters.
        docstrings: whether a function's docstring is part of its text; if not, functions that have nothing else are
            left out. The docstrings of what is defined inside it stay.
    """

    inputs = "text"
    targets = None

    def __init__(self, *, max_characters: int = 1_000, docstrings: bool = False) -> None:
        if max_characters < 1:
            raise ConfigurationError(
                f"python_functions: max_characters must be a positive integer, got {max_characters!r}"
            )
        self.max_characters = max_characters
        self.docstrings = docstrings

    def read(self, path: Path, *, targets: bool = True) -> Iterator[Example]:
        """Yields the functions of a split, or of a file, in the order of the files' hashes and of their lines.

        Raises:
            DataError: the file is not Python.
        """
        split = self.split_of(path)
        if split is None:
            yield from self._read_file(path, str(path))
            return
        seen: set[str] = set()
        for name, file in _files_of(split):
            for example in _unless_foreign(self._read_file(file, name)):
                text = example["text"]
                if len(text) <= self.max_characters and text not in seen:
                    seen.add(text)
                    yield example

    def _read_file(self, path: Path, name: str) -> Iterator[Example]:
        source = read_source(path)
        try:
            tree = parse(source)
        except (SyntaxError, ValueError, RecursionError) as error:
            raise _not_python(path, error) from error
        lines = source.split("\n")
        for function in outermost_functions(tree):
            text = function_text(function, lines, docstring=self.docstrings)
            if text is not None:
                yield {"id": f"{name}:{function.lineno}", "text": text}


def outermost_functions(tree: ast.Module) -> Iterator[Function]:
    """Yields the functions and methods that are not inside another function, in the order of the source."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
        elif not isinstance(node, ast.expr):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))


def function_text(function: Function, lines: list[str], *, docstring: bool) -> str | None:
    """Returns the source of a function at the margin, with four spaces a level and no blanks at the ends of lines.

    Continuation lines move with the line that they continue, and strings of several lines stay as they are, so the text
    parses to what the function was; only its docstring moves with it.

    Args:
        function: of the parsed source.
        lines: of the source.
        docstring: whether the docstring is kept.

    Returns:
        The text without a line break at its end; None where the docstring is not kept and there is nothing else.
    """
    described = ast.get_docstring(function, clean=False) is not None
    if described and not docstring and len(function.body) == 1:
        return None
    kept = list(range(function.lineno, _last_line(function) + 1))
    fixed: set[int] = set()
    for statement in function.body[1:] if described else function.body:
        fixed |= _inside_strings(statement, lines)
    for part in (function.args, *filter(None, [function.returns])):
        fixed |= _inside_strings(part, lines)
    if described and not docstring:
        kept = _without_docstring(function, kept, lines)
    return "\n".join(_indented(kept, lines, _columns(function, lines), fixed))


def _without_docstring(function: Function, kept: list[int], lines: list[str]) -> list[int]:
    """Returns the lines without those of the docstring and the blank ones behind it, if it has lines of its own."""
    first, last = function.body[0].lineno, _last_line(function.body[0])
    before = lines[first - 1][: function.body[0].col_offset]
    if before.strip() or last == function.body[1].lineno:
        return kept
    while not lines[last].strip():
        last += 1
    return [number for number in kept if not first <= number <= last]


def _indented(kept: Iterable[int], lines: list[str], columns: dict[int, int], fixed: set[int]) -> Iterator[str]:
    """Yields the lines, each moved from its column to where `columns` says, or along with the line before it."""
    shift = 0
    for number in kept:
        line = lines[number - 1]
        if number not in fixed:
            column = _column(line)
            shift = columns.get(column, column + shift) - column
            line = " " * (column + shift) + line.lstrip() if line.strip() else ""
        yield line if number + 1 in fixed else line.rstrip()


def _columns(function: Function, lines: list[str]) -> dict[int, int]:
    """Returns the columns at which the function's statements begin, and the one that each has in the text."""
    nodes = [node for node in _nodes_of(function) if isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case))]
    starts = {node.pattern.lineno if isinstance(node, ast.match_case) else node.lineno for node in nodes}
    return {column: INDENT * level for level, column in enumerate(sorted({_column(lines[at - 1]) for at in starts}))}


def _inside_strings(root: ast.AST, lines: list[str]) -> set[int]:
    """Returns the lines that begin inside a string, where moving the line would change what the string says."""
    found: set[int] = set()
    for node in _nodes_of(root):
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))):
            covered = lines[node.lineno - 1 : _last_line(node)]
            # adjacent strings on lines of their own are one node too, and may be moved
            if any('"""' in line or "'''" in line or line.endswith("\\") for line in covered):
                found.update(range(node.lineno + 1, _last_line(node) + 1))
    return found


def _nodes_of(root: ast.AST) -> Iterator[ast.AST]:
    """Yields a node and those below it, but for the insides of formatted strings: before 3.12 their lines are wrong."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, ast.JoinedStr):
            pending.extend(ast.iter_child_nodes(node))


def _column(line: str) -> int:
    """Returns how far a line is indented, a tab up to the next multiple of eight, as Python counts."""
    return len(line[: len(line) - len(line.lstrip())].expandtabs())


def _last_line(node: ast.stmt | ast.expr) -> int:
    return node.end_lineno or node.lineno
