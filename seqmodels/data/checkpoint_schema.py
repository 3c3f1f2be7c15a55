"""The schema stored in a checkpoint, read without the rest of it."""

from __future__ import annotations

import os
import pickle
import zipfile

import torch

from seqmodels.data.schema import Schema
from seqmodels.errors import CheckpointError


def schema_of_checkpoint(path: str | os.PathLike[str]) -> Schema:
    """Returns the schema that a model was trained with; the weights stay on disk.

    Raises:
        CheckpointError: there is no such file, it is cut short, or it holds no schema of this framework.
    """
    path = os.path.expandvars(os.path.expanduser(path))
    if not os.path.isfile(path):
        raise CheckpointError(f"{path}: no such checkpoint; expected a .ckpt file written by a fit")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path}: not a checkpoint, or one cut short ({os.path.getsize(path)} bytes); "
            f"copy it again from where it was made"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        record = checkpoint["seqmodels"]["schema"]
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a seqmodels checkpoint: it holds no schema") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be loaded as a seqmodels checkpoint: {error}") from error
    return Schema.from_record(record)
