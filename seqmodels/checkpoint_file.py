"""Checkpoint files: reading one safely, and the record in it from which a model is built, in plain types."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqmodels.errors import CheckpointError, did_you_mean

KEY = "seqmodels"
FORMAT = 1


def find_checkpoint(path: str | os.PathLike[str], *, to_go_on: bool = False) -> Path:
    """Returns the checkpoint file; of a run's folder, the best one in it or else the last.

    Args:
        path: the file, or a run's folder.
        to_go_on: whether training is to go on from it: then it is the newest of the last and the interrupted one.

    Raises:
        CheckpointError: there is none; names the nearest name in that folder.
    """
    file = Path(os.path.expandvars(os.path.expanduser(path)))
    if file.is_dir():
        names = ("last.ckpt", "interrupted.ckpt") if to_go_on else ("best.ckpt", "last.ckpt")
        found = [place for name in names for place in (file / name, file / "checkpoints" / name) if place.is_file()]
        if found:
            return max(found, key=lambda place: place.stat().st_mtime) if to_go_on else found[0]
        if (file / "config.json").is_file():
            raise CheckpointError(f"{file}: a folder of save_pretrained; load it in Python by seqmodels.load('{file}')")
        raise CheckpointError(f"{file}: no {' or '.join(names)} in this folder, nor in its checkpoints/")
    if not file.exists():
        near = did_you_mean(file.name, os.listdir(file.parent)) if file.parent.is_dir() else ""
        raise CheckpointError(f"{path}: no such checkpoint{near}")
    return file


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns a checkpoint's contents, mapped from disk; never runs code that it names (`weights_only=True`).

    Raises:
        CheckpointError: there is no such file, it is truncated, or it is not a checkpoint of this framework.
    """
    path = find_checkpoint(path)
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path}: not a checkpoint, or one cut short ({path.stat().st_size} bytes); copy it again"
        )
    import torch  # here, for the command line finds a file without waiting for it

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
