"""Checks of the constructors' options: each says which encoder, what was expected and what came."""

from __future__ import annotations

from collections.abc import Iterable

from seqmodels.errors import ConfigurationError, did_you_mean


def check_sizes(owner: object, **sizes: object) -> None:
    """Checks that each size is a positive integer.

    Raises:
        ConfigurationError: one is not.
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ConfigurationError(f"{type(owner).__name__}: {name} must be a positive integer, got {size!r}")


def check_dropout(owner: object, dropout: float) -> float:
    """Returns `dropout` if it is a probability below 1.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigurationError(f"{type(owner).__name__}: dropout must be in [0, 1), got {dropout!r}")
    return float(dropout)


def check_choice(owner: object, name: str, value: str, choices: Iterable[str]) -> None:
    """Checks that `value` is one of `choices`.

    Raises:
        ConfigurationError: it is not; names the nearest one.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ConfigurationError(
            f"{type(owner).__name__}: {name} must be one of {', '.join(choices)}, got {value!r}"
            f"{did_you_mean(str(value), choices)}"
        )
