"""Arguments in plain types, as a checkpoint keeps them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from seqmodels.errors import ConfigurationError


def to_plain(value: Any) -> Any:
    """Returns `value` in dictionaries, lists, strings, numbers, booleans and None, of which a path becomes a string.

    Raises:
        ConfigurationError: it holds something else, which a checkpoint could keep as code only.
    """
    if value is None or (isinstance(value, (bool, int, float, str)) and type(value).__module__ == "builtins"):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(part) for part in value]
    raise ConfigurationError(
        f"expected names, numbers, lists and mappings, which a checkpoint can keep, "
        f"got {type(value).__name__}: {value!r}"
    )
