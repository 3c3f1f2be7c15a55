"""A dictionary from names to classes with good manners, and the specs that name an entry with its arguments.

A *spec* is how YAML, the command line, Python and checkpoints all name a component: a registered name or
dotted path, or a mapping with that under `name` and the constructor's arguments beside it::

    encoder: lstm
    encoder: {name: lstm, hidden_size: 256, bidirectional: true}
    encoder: {name: my_package.MyEncoder, hidden_size: 256}
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar, cast

from seqmodels.argument_types import check_types
from seqmodels.errors import ConfigurationError, did_you_mean

Entry = TypeVar("Entry")
Class = TypeVar("Class", bound=type)
Spec = str | Mapping[str, Any]

_only_registered: ContextVar[bool] = ContextVar("only_registered", default=False)


class NotRegisteredError(ConfigurationError):
    """A spec names what is not registered."""


@contextmanager
def only_registered() -> Iterator[None]:
    """Lets no registry import anything: what a checkpoint names must be there already."""
    token = _only_registered.set(True)
    try:
        yield
    finally:
        _only_registered.reset(token)


class Registry(Generic[Entry]):
    """Maps names to classes of one kind.

    Args:
        kind: what the entries are, as error messages call them ("encoder", "reader").
        base: every entry must be a subclass of it (or of one of them).
        supplied: how many leading constructor arguments the data or a neighbour decides (an encoder's `input_size`);
            the others are what a spec may set.
        default: the name that a mapping without `name` stands for; None if it has to be given.
    """

    def __init__(self, kind: str, base: type | tuple[type, ...], supplied: int = 0, default: str | None = None) -> None:
        self.kind = kind
        self.supplied = supplied
        self.default = default
        self.base = base if isinstance(base, tuple) else (base,)
        self._entries: dict[str, type[Entry]] = {}

    def register(self, name: str) -> Callable[[Class], Class]:
        """Returns a class decorator that registers the class under `name`.

        Raises:
            ConfigurationError: the name is taken by another class, or the class is not of this kind.
        """

        def decorate(entry: Class) -> Class:
            if not (inspect.isclass(entry) and issubclass(entry, self.base)):
                wanted = " or ".join(base.__name__ for base in self.base)
                raise ConfigurationError(
                    f"cannot register {entry!r} as {self.kind} '{name}': not a subclass of {wanted}"
                )
            present = self._entries.get(name)
            if present is not None and dotted_path(present) != dotted_path(entry):
                raise ConfigurationError(
                    f"{self.kind} '{name}' is registered already, by {dotted_path(present)}; "
                    f"choose another name for {dotted_path(entry)}"
                )
            self._entries[name] = cast("type[Entry]", entry)
            return entry

        return decorate

    def names(self) -> list[str]:
        """Returns the registered names, sorted."""
        return sorted(self._entries)

    def is_registered(self, name: str) -> bool:
        """Tells whether `name` is a registered name, or the dotted path of a registered class."""
        return name in self._entries or name in map(dotted_path, self._entries.values())

    def name_of(self, entry: type) -> str:
        """Returns the name that a class is registered under, or the dotted path of another."""
        names = {dotted_path(registered): name for name, registered in self._entries.items()}
        return names.get(dotted_path(entry), dotted_path(entry))

    def get(self, name: str) -> type[Entry]:
        """Returns the class registered under `name`, or the one at that dotted path.

        Raises:
            ConfigurationError: there is none; lists the known names and the nearest.
        """
        if name in self._entries:
            return self._entries[name]
        if "." in name:
            return self._import(name)
        raise NotRegisteredError(
            f"unknown {self.kind} '{name}'; known: {', '.join(self.names())}{did_you_mean(name, self._entries)}; "
            + (
                f"a class is named by its dotted path here, '{name.replace(':', '.')}'"
                if ":" in name
                else "one of your own needs its module under `plugins:`"
            )
        )

    def _import(self, path: str) -> type[Entry]:
        for registered in self._entries.values():
            if dotted_path(registered) == path:
                return registered
        if _only_registered.get():
            raise NotRegisteredError(f"{self.kind} '{path}' is not registered")
        module_name, _, class_name = path.rpartition(".")
        try:
            entry = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"cannot import {self.kind} '{path}': {error}") from error
        if not (inspect.isclass(entry) and issubclass(entry, self.base)):
            wanted = " or ".join(base.__name__ for base in self.base)
            raise ConfigurationError(f"{self.kind} '{path}' is not a subclass of {wanted}")
        return cast("type[Entry]", entry)

    def arguments(self, name: str) -> dict[str, inspect.Parameter]:
        """Returns the constructor's parameters that a spec may set, by name."""
        return dict(list(inspect.signature(self.get(name)).parameters.items())[self.supplied :])

    def check(self, spec: Spec) -> tuple[str, dict[str, Any]]:
        """Splits a spec into name and arguments.

        Raises:
            ConfigurationError: the spec has no name, the name is unknown, an argument is unknown, missing, or not
                of the type that the constructor says.
        """
        if isinstance(spec, str):
            name, given = spec, {}
        elif isinstance(spec, Mapping) and isinstance(spec.get("name", self.default), str):
            given = {str(key): value for key, value in spec.items()}
            name = given.pop("name", self.default)
        else:
            raise ConfigurationError(
                f"expected a name or a mapping with the key `name` for the {self.kind}, got {spec!r}; "
                f"known: {', '.join(self.names())}"
            )
        known = self.arguments(name)
        for key in given:
            if key not in known:
                raise ConfigurationError(
                    f"{self.kind} '{name}' has no argument '{key}'{did_you_mean(key, known)}; "
                    f"it has: {', '.join(known) or 'none'}"
                )
        missing = [key for key, value in known.items() if value.default is inspect.Parameter.empty and key not in given]
        if missing:
            raise ConfigurationError(f"{self.kind} '{name}' needs the argument '{missing[0]}'")
        check_types(f"{self.kind} '{name}'", self.get(name), given)
        return name, given

    def with_argument(self, spec: Spec, argument: str, value: Any) -> Spec:
        """Returns the spec with `argument` set to `value`, where the entry has such a one and the spec is silent."""
        name, given = self.check(spec)
        if argument not in self.arguments(name):
            return spec
        return {"name": name, argument: value, **given}

    def create(self, spec: Spec, *positional: Any) -> Entry:
        """Builds the entry that `spec` names, with what the data or a neighbour decides as `positional` arguments.

        Raises:
            ConfigurationError: see `check`; a value of the wrong type or range names the entry.
        """
        name, arguments = self.check(spec)
        try:
            return self.get(name)(*positional, **arguments)
        except TypeError as error:
            raise ConfigurationError(f"{self.kind} '{name}': {error}") from error


def dotted_path(entry: type) -> str:
    """Returns the path by which a class can be imported."""
    return f"{entry.__module__}.{entry.__qualname__}"
