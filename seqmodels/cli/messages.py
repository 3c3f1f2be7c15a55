"""Parser errors as one readable message that names the nearest right word."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from jsonargparse import ArgumentError

from seqmodels.cli.arguments import Arguments
from seqmodels.errors import ConfigurationError


@contextlib.contextmanager
def parser_error(parts: Arguments) -> Iterator[None]:
    """Turns what jsonargparse raises into a `ConfigurationError` of a few lines."""
    try:
        yield
    except ArgumentError as error:
        raise ConfigurationError(simplify(str(error))) from error


def simplify(message: str) -> str:
    """Returns the lines of a parser's message that say what is wrong."""
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    noise = re.compile(r"Does not validate|Subtypes:|Errors:|Expected a <class 'NoneType'>|Given value|^error:")
    kept = [line for line in lines if not noise.search(line)]
    return " ".join(dict.fromkeys(kept)) or message
