"""Whether the arguments of a spec are of the types that a constructor says."""

from __future__ import annotations

import numbers
import os
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Union

from seqmodels.errors import ConfigurationError, did_you_mean

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
NUMBERS = {int: numbers.Integral, float: numbers.Real}
POWER_OF_TEN = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # YAML 1.1 reads 1e-3 as text, jsonargparse as a number


def check_types(owner: str, entry: type, given: Mapping[str, Any]) -> None:
    """Checks arguments against the type hints of a class's constructor.

    Only plain types are checked (true or false, numbers, text, choices, lists, and unions of them); a mapping, None
    or a callable, and an argument without a hint or with one of another kind, is left to the constructor.

    Args:
        owner: whose arguments they are, as the error calls it ("encoder 'lstm'").
        entry: the class.
        given: its arguments by name.

    Raises:
        ConfigurationError: an argument is of another type; says what is expected.
    """
    try:
        hints = typing.get_type_hints(entry.__init__)  # type: ignore[misc]
    except Exception:  # hints are code of whoever wrote the class, and name what may exist for type checkers alone
        return
    for name, value in given.items():
        hint = hints.get(name, Any)
        if not _fits(hint, value):
            raise ConfigurationError(f"{owner}: {name} must be {_expected(hint)}, got {value!r}{_advice(hint, value)}")


def _fits(hint: Any, value: Any) -> bool:
    if value is None or isinstance(value, Mapping) or callable(value):
        return True
    if hint is bool:
        return isinstance(value, bool)
    if hint is float and isinstance(value, str) and POWER_OF_TEN.fullmatch(value):
        return True
    if hint in NUMBERS:
        return isinstance(value, NUMBERS[hint]) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, (str, os.PathLike))
    origin = typing.get_origin(hint) or hint
    if origin is Literal:
        return any(type(choice) is type(value) and choice == value for choice in typing.get_args(hint))
    if origin in (Union, types.UnionType):
        return any(_fits(part, value) for part in _parts(hint))
    if origin in (list, tuple, Sequence):
        return not isinstance(value, (str, bytes, numbers.Number))
    return origin not in (dict, Mapping, type(None))


def _parts(hint: Any) -> list[Any]:
    """Returns what a union is made of, without None; another hint alone."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return [part for part in typing.get_args(hint) if part is not type(None)]
    return [hint]


def _expected(hint: Any) -> str:
    described = []
    for part in _parts(hint):
        if part in WORDS:
            described.append(WORDS[part])
        elif typing.get_origin(part) is Literal:
            described.append(f"one of {', '.join(map(str, typing.get_args(part)))}")
        else:
            is_mapping = (typing.get_origin(part) or part) in (dict, Mapping)
            described.append("a mapping" if is_mapping else "a list")
    return " or ".join(described)


def _advice(hint: Any, value: Any) -> str:
    parts = _parts(hint)
    if isinstance(value, str):
        choices: Collection[Any] = [
            choice for part in parts if typing.get_origin(part) is Literal for choice in typing.get_args(part)
        ]
        return did_you_mean(value, [choice for choice in choices if isinstance(choice, str)])
    return f"; put it in quotes: '{value}'" if str in parts and isinstance(value, (bool, numbers.Number)) else ""
