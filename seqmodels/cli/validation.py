"""Misspelt keys and class names in the sections model, data and trainer, found before the parser sees them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer

from seqmodels.cli.arguments import Arguments, check_known, read_config
from seqmodels.data.contiguous_streams import ContiguousStreams
from seqmodels.data.data_module import SequenceDataModule
from seqmodels.data.labelled_sequences import LabelledSequences
from seqmodels.data.separate_sequences import SeparateSequences
from seqmodels.data.sequence_pairs import SequencePairs
from seqmodels.errors import ConfigurationError, did_you_mean
from seqmodels.registry import dotted_path
from seqmodels.tasks import Task

SECTIONS: dict[str, type] = {"model": Task, "data": SequenceDataModule}
# Imported so that their short names are known.
SHIPPED = (ContiguousStreams, LabelledSequences, SeparateSequences, SequencePairs)


def check_keys(parts: Arguments, record: Mapping[str, Any] | None) -> None:
    """Checks the keys of the config files, and the options typed, down to the arguments of model, data and trainer.

    Raises:
        ConfigurationError: a key is unknown, or a class; names where it stands and the nearest known one.
    """
    chosen = {name: record[name]["class_path"] for name in SECTIONS if record is not None and record[name]}
    for path in parts.configs:
        config = read_config(path)
        for name, section in config.items():
            if isinstance(section, str) and name in SECTIONS:
                chosen[name] = section
            elif isinstance(section, Mapping) and name in SECTIONS:
                _check_same(path, name, section.get("class_path"), parts.ckpt_path, record)
                chosen[name] = section.get("class_path", chosen.get(name))
                check_known(path, f"{name}.", section, ("class_path", "init_args", "dict_kwargs"))
                check_known(
                    path, f"{name}.init_args.", section.get("init_args") or {}, _arguments(path, name, chosen[name])
                )
            elif isinstance(section, Mapping) and name == "trainer":
                check_known(path, "trainer.", section, _parameters(Trainer))
    for name, value in zip(parts.options, [*parts.options[1:], ""], strict=False):
        if not name.startswith("--"):
            continue
        key, equals, inline = name[2:].partition("=")
        first, *rest = key.removesuffix("+").split(".")
        if first in SECTIONS and rest in ([], ["class_path"]):
            chosen[first] = inline if equals else value
            _arguments("command line", first, chosen[first])
        rest = rest[1:] if rest[:1] == ["init_args"] else rest
        if first in SECTIONS and rest and rest[0] not in ("class_path", "dict_kwargs", "help"):
            check_known("command line", f"--{first}.", rest[:1], _arguments("command line", first, chosen.get(first)))
        elif first == "trainer" and rest:
            check_known("command line", "--trainer.", rest[:1], _parameters(Trainer))


def _check_same(
    path: str, section: str, named: str | None, ckpt_path: str | None, record: Mapping[str, Any] | None
) -> None:
    if named is None or record is None or section != "model":
        return
    trained = str(record[section]["class_path"]).rpartition(".")[2]
    if named.rpartition(".")[2] != trained:
        raise ConfigurationError(
            f"{path}: model is a {named}, but the checkpoint {ckpt_path} is of a {trained}; "
            f"name the config that it was trained with, or none"
        )


def _arguments(where: str, section: str, class_path: str | None) -> list[str]:
    base = SECTIONS[section]
    known = {name: found for found in _subclasses(base) for name in (found.__name__, dotted_path(found))}
    if class_path is None:
        names = ", ".join(sorted({found.__name__ for found in known.values()}))
        raise ConfigurationError(f"{where}: {section} needs a class_path; known: {names}")
    if class_path in known:
        return _parameters(known[class_path])
    module, _, name = class_path.rpartition(".")
    try:
        return _parameters(getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, ValueError):
        shown = sorted({found.__name__ for found in known.values()})
        raise ConfigurationError(
            f"{where}: unknown {section} class '{class_path}'{did_you_mean(name, shown)}; known: {', '.join(shown)}; "
            f"one of your own needs its module under `plugins:`"
        ) from None


def _subclasses(base: type[Any]) -> list[type]:
    found: list[type] = []
    for subclass in base.__subclasses__():
        found += [subclass] if not inspect.isabstract(subclass) else []
        found += _subclasses(subclass)
    return found


def _parameters(owner: type) -> list[str]:
    return [name for name in inspect.signature(owner).parameters if name != "self"]
