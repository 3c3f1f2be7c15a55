"""The entries of a registry as text, with their arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any

from seqmodels.registry import Registry


def list_with_arguments(registry: Registry[Any], names: Sequence[str] = ()) -> str:
    """Returns a line for each entry with its arguments and defaults; with `names`, those with their whole docstrings.

    Raises:
        ConfigurationError: a name is not registered; names the nearest.
    """
    if names:
        return "\n\n".join(f"{_line(registry, name)}\n\n{_description(registry.get(name))}" for name in names)
    return "\n".join(_line(registry, name) for name in registry.names())


def _description(entry: type) -> str:
    """Returns an entry's docstring, with that of the class that it has its arguments from."""
    own = inspect.getdoc(entry) or ""
    heir = next((base for base in entry.__mro__ if "__init__" in vars(base)), entry)
    return own if heir is entry or "Args:" in own else f"{own}\n\n{heir.__name__}: {inspect.getdoc(heir)}"


def _line(registry: Registry[Any], name: str) -> str:
    arguments = []
    for argument, parameter in registry.arguments(name).items():
        required = parameter.default is inspect.Parameter.empty
        arguments.append(f"{argument}: required" if required else f"{argument}: {_plain(parameter.default)}")
    summary = (inspect.getdoc(registry.get(name)) or "").split("\n", 1)[0]
    return f"{name:<14} {summary}\n{'':<14} {{{', '.join(arguments)}}}"


def _plain(value: object) -> str:
    """Returns a value as YAML writes it."""
    if isinstance(value, str) and value.isidentifier():
        return value
    return json.dumps(value, default=str)
