"""The tokens of Python source, line by line, the same under every version of Python; nothing is executed."""

from __future__ import annotations

import ast
import io
import keyword
import token as token_types
import tokenize
import warnings
from collections.abc import Iterator
from typing import NamedTuple

Position = tuple[int, int]  # line from 1, column from 0 in UTF-8 bytes, as `ast` counts


class Token(NamedTuple):
    """A token of Python: its text (the contents of a string are left out), its kind and where it stands."""

    text: str
    kind: int
    start: Position
    end: Position


_LAYOUT = {
    token_types.NEWLINE,
    token_types.NL,
    token_types.INDENT,
    token_types.DEDENT,
    token_types.COMMENT,
    token_types.ENDMARKER,
    token_types.ENCODING,
}
# Since 3.12 (f-strings) and 3.14 (t-strings) the parts of a formatted string are tokens of their own.
_FORMAT_START = {getattr(token_types, name, -1) for name in ("FSTRING_START", "TSTRING_START")} - {-1}
_FORMAT_END = {getattr(token_types, name, -1) for name in ("FSTRING_END", "TSTRING_END")} - {-1}


def logical_lines(source: str) -> Iterator[list[Token]]:
    """Yields the tokens of each logical line (one statement, or the head of a block), without comments.

    A formatted string is one token under every version of Python.

    Raises:
        tokenize.TokenError, SyntaxError: the source ends inside a bracket or string, or dedents to no block.
    """
    physical = source.split("\n")
    line: list[Token] = []
    formatted: list[tokenize.TokenInfo] = []  # the starts of the formatted strings that are open
    for info in tokenize.generate_tokens(io.StringIO(source).readline):
        if info.type in _FORMAT_START:
            formatted.append(info)
        elif info.type in _FORMAT_END:
            opening = formatted.pop()
            if not formatted:
                contents = "…" if opening.end != info.start else ""
                text = opening.string + contents + info.string
                line.append(_token(text, token_types.STRING, opening.start, info.end, physical))
        elif formatted:
            continue
        elif info.type == token_types.NEWLINE:
            if line:
                yield line
            line = []
        elif info.type not in _LAYOUT and info.string.strip():
            text = shorten_string(info.string) if info.type == token_types.STRING else info.string
            line.append(_token(text, info.type, info.start, info.end, physical))
    if line:
        yield line


def _token(text: str, kind: int, start: Position, end: Position, physical: list[str]) -> Token:
    return Token(text, kind, _in_bytes(start, physical), _in_bytes(end, physical))


def _in_bytes(position: Position, physical: list[str]) -> Position:
    line, column = position
    text = physical[line - 1] if line <= len(physical) else ""
    return (line, column) if text.isascii() else (line, len(text[:column].encode()))


def shorten_string(text: str) -> str:
    """Replaces the contents of a string literal by `…`: they say nothing of its role, and may be pages long."""
    body = text.lstrip("rRbBuUfFtT")
    quote = body[:3] if body[:3] in ('"""', "'''") else body[:1]
    prefix = text[: len(text) - len(body)]
    return f"{prefix}{quote}{'…' if len(body) > 2 * len(quote) else ''}{quote}"


def parse(source: str) -> ast.Module:
    """Parses Python source with its warnings (such as invalid escapes) silenced.

    Raises:
        SyntaxError, ValueError, RecursionError: as `ast.parse`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def is_identifier(token: Token) -> bool:
    """Tells whether a token is a name that is not reserved."""
    return token.kind == token_types.NAME and not keyword.iskeyword(token.text)
