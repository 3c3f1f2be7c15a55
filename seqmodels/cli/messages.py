"""Parser errors as one readable message that names the nearest right word."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from jsonargparse import ArgumentError

from seqmodels.errors import ConfigurationError, SeqmodelsError


@contextlib.contextmanager
def parser_error() -> Iterator[None]:
    """Turns what jsonargparse raises into a `ConfigurationError` of a few lines."""
    try:
        yield
    except (ArgumentError, ValueError, TypeError) as error:
        ours = _ours(error)
        if ours is not None:
            raise ours from error
        if isinstance(error, ArgumentError):
            raise ConfigurationError(simplify(str(error))) from error
        raise


def _ours(error: BaseException | None) -> SeqmodelsError | None:
    """Returns the error of ours at the root of a chain: the parser wraps what a constructor raises."""
    while error is not None:
        if isinstance(error, SeqmodelsError):
            return error
        error = error.__cause__ or error.__context__
    return None


def simplify(message: str) -> str:
    """Returns the lines of a parser's message that say what is wrong."""
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    noise = re.compile(r"Does not validate|Subtypes:|Errors:|Expected a <class 'NoneType'>|Given value|^error:")
    kept = [line for line in lines if not noise.search(line)]
    return " ".join(dict.fromkeys(kept)) or message
