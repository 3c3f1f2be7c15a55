"""Modules of the user's own, imported by name before anything is looked up in a registry."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points

from seqmodels.errors import ConfigurationError, did_you_mean

ENTRY_POINT_GROUP = "seqmodels.plugins"

_loaded: list[str] = []


def import_plugins(names: Iterable[str]) -> None:
    """Imports modules, found as Python finds them or in the current folder, so that what they register can be named.

    Raises:
        ConfigurationError: there is no such module, or it fails while it is imported.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.split(".")[0] and error.name != name:
                raise ConfigurationError(f"plugin '{name}' imports '{error.name}', which is not installed") from error
            here = [entry.removesuffix(".py") for entry in os.listdir() if entry.endswith(".py")]
            raise ConfigurationError(
                f"plugins: no module named '{name}'{did_you_mean(name, here)}; looked in {os.getcwd()} and in the "
                f"installed packages"
            ) from error
        except Exception as error:
            raise ConfigurationError(
                f"plugin '{name}' failed while it was imported: {type(error).__name__}: {error}"
            ) from error
        if name not in _loaded:
            _loaded.append(name)


def import_entry_points() -> None:
    """Imports the installed packages that extend this one by the entry-point group `seqmodels.plugins`."""
    import_plugins(point.value for point in entry_points(group=ENTRY_POINT_GROUP))


def loaded_plugins() -> list[str]:
    """Returns the names of the modules imported as plugins so far."""
    return list(_loaded)
