"""Sequence modelling with PyTorch Lightning: any encoder under any task.

Axis names used in every shape: batch (rows), time (steps of the longest row), lengths (real steps of each row),
input_size / hidden_size / output_size (features), labels (classes or tags), words, characters.

Names are imported when they are first used, so that `import seqmodels` costs nothing, prediction needs neither
Lightning nor torchmetrics, and the command line can answer a typo at once.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqmodels.data.contiguous_streams import ContiguousStreams
    from seqmodels.data.labelled_sequences import LabelledSequences
    from seqmodels.data.readers import Example, Reader, create_reader, list_readers, register_reader
    from seqmodels.data.separate_sequences import SeparateSequences
    from seqmodels.data.sequence_pairs import SequencePairs
    from seqmodels.embedders import Embedder, register_embedder
    from seqmodels.encoders import (
        Cell,
        Encoder,
        create_encoder,
        list_encoders,
        register_encoder,
    )
    from seqmodels.errors import CheckpointError, ConfigurationError, DataError, SeqmodelsError
    from seqmodels.inference.load import from_pretrained, load, load_ensemble, save_pretrained
    from seqmodels.inference.predictor import Predictor
    from seqmodels.tasks import LanguageModel, SequenceClassifier, SequenceTagger, Task, Translator

try:
    __version__ = version("seqmodels")
except PackageNotFoundError:  # used from a source tree that is not installed
    __version__ = "0.0.0"

_HOMES = {
    "seqmodels.data.contiguous_streams": ("ContiguousStreams",),
    "seqmodels.data.labelled_sequences": ("LabelledSequences",),
    "seqmodels.data.separate_sequences": ("SeparateSequences",),
    "seqmodels.data.sequence_pairs": ("SequencePairs",),
    "seqmodels.data.readers": ("Example", "Reader", "create_reader", "list_readers", "register_reader"),
    "seqmodels.embedders": ("Embedder", "register_embedder"),
    "seqmodels.encoders": ("Cell", "Encoder", "create_encoder", "list_encoders", "register_encoder"),
    "seqmodels.errors": ("CheckpointError", "ConfigurationError", "DataError", "SeqmodelsError"),
    "seqmodels.inference.load": ("from_pretrained", "load", "load_ensemble", "save_pretrained"),
    "seqmodels.inference.predictor": ("Predictor",),
    "seqmodels.tasks": ("LanguageModel", "SequenceClassifier", "SequenceTagger", "Task", "Translator"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Cell",
    "CheckpointError",
    "ConfigurationError",
    "ContiguousStreams",
    "DataError",
    "Embedder",
    "Encoder",
    "Example",
    "LabelledSequences",
    "LanguageModel",
    "Predictor",
    "Reader",
    "SeparateSequences",
    "SeqmodelsError",
    "SequenceClassifier",
    "SequencePairs",
    "SequenceTagger",
    "Task",
    "Translator",
    "create_encoder",
    "create_reader",
    "from_pretrained",
    "list_encoders",
    "list_readers",
    "load",
    "load_ensemble",
    "register_embedder",
    "register_encoder",
    "register_reader",
    "save_pretrained",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'seqmodels' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
