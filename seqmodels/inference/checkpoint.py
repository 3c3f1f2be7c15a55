"""The record in a checkpoint: what a network is built from, in plain types."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from seqmodels.data.schema import Schema
from seqmodels.embedders import character_encoder_registry, embedder_registry
from seqmodels.encoders import encoder_registry
from seqmodels.errors import CheckpointError, ConfigurationError, did_you_mean
from seqmodels.networks import Network, network_registry
from seqmodels.registry import NotRegisteredError, Registry, only_registered

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


def check_registered(record: Mapping[str, Any]) -> None:
    """Makes sure that a record names nothing but registered networks, encoders and embedders.

    Raises:
        CheckpointError: it does; names the plugins that were loaded when it was made.
    """
    network = record["network"]
    embedder = network.get("embedder")
    characters = [embedder["characters"]] if isinstance(embedder, Mapping) and embedder.get("characters") else []
    encoders = [*_specs(network.get("encoder"))]
    for spec in characters:
        encoders += [*_specs(spec.get("encoder"))] if isinstance(spec, Mapping) else []
    named: list[tuple[str, Registry[Any], Any]] = [
        ("network", network_registry, network),
        ("embedder", embedder_registry, embedder),
        *(("character encoder", character_encoder_registry, spec) for spec in characters),
        *(("encoder", encoder_registry, spec) for spec in encoders),
    ]
    for kind, registry, spec in named:
        name = spec if isinstance(spec, str) else (spec or {}).get("name", registry.default)
        if name is not None and not registry.is_registered(name):
            raise CheckpointError(
                f"checkpoint names the {kind} '{name}', which is not registered here; {_plugin_hint(record)}"
            )


def build_network(record: Mapping[str, Any]) -> Network:
    """Builds the network that a record describes, of registered classes only; its weights are still to be loaded.

    Raises:
        CheckpointError: the record names what is not registered, or arguments that are not those of this version.
    """
    check_registered(record)
    try:
        with only_registered():
            return network_registry.create(record["network"], Schema.from_record(record["schema"]))
    except NotRegisteredError as error:
        raise CheckpointError(f"checkpoint: {error}; {_plugin_hint(record)}") from error
    except ConfigurationError as error:
        raise CheckpointError(f"the network that the checkpoint describes cannot be built here: {error}") from error


def _plugin_hint(record: Mapping[str, Any]) -> str:
    plugins = record.get("plugins") or []
    if not plugins:
        return "import the module that registers it first"
    return f"it was made with the plugins {', '.join(plugins)}: load(path, plugins={plugins!r}), or --plugins"


def _specs(spec: Any) -> Iterator[Any]:
    """Yields a spec and those nested in its arguments, so far as they can be told from other arguments."""
    if isinstance(spec, str):
        yield spec
    elif isinstance(spec, Mapping):
        if "name" in spec:
            yield spec
        for key, value in spec.items():
            for part in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(part, Mapping) or (isinstance(part, str) and key in ("layer", "layers")):
                    yield from _specs(part)
