"""The registered encoders as text, with their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from seqmodels.encoders.encoder import encoder_registry


def list_with_arguments(names: Sequence[str] = ()) -> str:
    """Returns a line for each registered encoder with its arguments and defaults; with `names`, their docstrings too.

    Raises:
        ConfigurationError: a name is not registered; names the nearest.
    """
    if names:
        return "\n\n".join(f"{_line(name)}\n\n{inspect.getdoc(encoder_registry.get(name))}" for name in names)
    return "\n".join(_line(name) for name in encoder_registry.names())


def _line(name: str) -> str:
    arguments = []
    for argument, parameter in encoder_registry.arguments(name).items():
        required = parameter.default is inspect.Parameter.empty
        arguments.append(f"{argument}: required" if required else f"{argument}: {_plain(parameter.default)}")
    summary = (inspect.getdoc(encoder_registry.get(name)) or "").split("\n", 1)[0]
    return f"{name:<14} {summary}\n{'':<14} {{{', '.join(arguments)}}}"


def _plain(value: object) -> str:
    """Returns a value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
