"""Checkpoint files: reading one safely, and the record in it from which a model is built, in plain types."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seqmodels.errors import CheckpointError, did_you_mean

KEY = "seqmodels"
FORMAT = 1


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns a checkpoint's contents, mapped from disk; never runs code that it names (`weights_only=True`).

    Raises:
        CheckpointError: there is no such file, it is truncated, or it is not a checkpoint of this framework.
    """
    path = Path(os.path.expandvars(os.path.expanduser(path)))
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder, expected a .ckpt file; for a saved folder use seqmodels.from_pretrained"
        )
    if not path.exists():
        hint = did_you_mean(path.name, os.listdir(path.parent)) if path.parent.is_dir() else ""
        raise CheckpointError(f"{path}: no such checkpoint{hint}")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path}: not a checkpoint, or one cut short ({path.stat().st_size} bytes); copy it again"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds Python objects besides plain types and tensors, so it was not made by seqmodels; not loaded"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: {error}; copy it again from where it was made") from error
    if not isinstance(checkpoint, dict) or KEY not in checkpoint or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path}: a checkpoint, but not one of seqmodels: it has no record of network and schema")
    check_record(checkpoint[KEY], str(path))
    return checkpoint


def check_record(record: Any, source: str) -> None:
    """Makes sure that a record is one, and of a format that is known.

    Raises:
        CheckpointError: it is not; the message begins with `source`.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("format"), int):
        raise CheckpointError(f"{source}: not a record of seqmodels: it does not say of which format it is")
    if record["format"] > FORMAT:
        raise CheckpointError(
            f"{source}: made by a newer seqmodels (format {record['format']}, this reads {FORMAT}); upgrade"
        )
    missing = [key for key in ("network", "schema", "model") if not isinstance(record.get(key), Mapping)]
    if missing:
        raise CheckpointError(f"{source}: not a record of seqmodels: it has no {' and no '.join(missing)}")


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the record in a checkpoint. Raises CheckpointError as `read_checkpoint` does."""
    return read_checkpoint(path)[KEY]  # type: ignore[no-any-return]
