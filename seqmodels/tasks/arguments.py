"""Parts of a task that a config describes by their arguments alone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from seqmodels.errors import ConfigurationError, did_you_mean


def create_part(name: str, cls: type[Any], arguments: Mapping[str, Any]) -> Any:
    """Builds a part of a task from the arguments that a config gives it.

    Args:
        name: what the config calls it.
        cls: its class.
        arguments: those of its constructor.

    Raises:
        ConfigurationError: an argument is unknown (names the nearest) or missing, or out of range.
    """
    parameters = inspect.signature(cls).parameters
    known = list(parameters)
    for argument in arguments:
        if argument not in parameters:
            raise ConfigurationError(
                f"{name} has no argument '{argument}'{did_you_mean(argument, known)}; it has: {', '.join(known)}"
            )
    missing = [key for key, one in parameters.items() if one.default is one.empty and key not in arguments]
    if missing:
        raise ConfigurationError(f"{name} needs the argument{'s' * (len(missing) > 1)} {', '.join(missing)}")
    return cls(**arguments)
