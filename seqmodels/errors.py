"""The errors that a user's input can cause, and the search for the name that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SeqmodelsError(Exception):
    """Base of every error that the user can mend; the command line prints it without a traceback."""


class ConfigurationError(SeqmodelsError, ValueError):
    """An option is unknown, out of range, or does not fit the others."""


class DataError(SeqmodelsError, ValueError):
    """A file does not hold what its reader was told to expect; the message names `path:line`."""


class CheckpointError(SeqmodelsError, ValueError):
    """A checkpoint is truncated, foreign, or does not fit the data or the code that is at hand."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the known name nearest to `name`, or an empty string."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f" (did you mean '{folded[near[0]]}'?)" if near else ""
