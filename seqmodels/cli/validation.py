"""Misspelt keys and class names, found before the parser sees them, so that the message names the right one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch import Trainer

from seqmodels.cli.arguments import Arguments, read_config
from seqmodels.data.data_module import SequenceDataModule
from seqmodels.data.labelled_sequences import LabelledSequences
from seqmodels.errors import ConfigurationError, did_you_mean
from seqmodels.registry import dotted_path
from seqmodels.tasks import Task

SECTIONS: dict[str, type] = {"model": Task, "data": SequenceDataModule}
TOP_LEVEL = ("seed_everything", "trainer", "model", "data", "plugins", "float32_matmul_precision", "ckpt_path")
OPTIONS = (*TOP_LEVEL, "config", "print_config", "help", "weights_only", "return_predictions", "verbose")
SHIPPED = (LabelledSequences,)  # imported so that their short names are known
OPTIONS_OF = {"predict": ("output", "format", "input"), "fit": ("dry_run",)}


def check_keys(command: str, parts: Arguments, record: Mapping[str, Any] | None) -> None:
    """Checks the keys of the config files, and the options typed, down to the arguments of model, data and trainer.

    Raises:
        ConfigurationError: a key is unknown, or a class; names where it stands and the nearest known one.
    """
    chosen = {name: record[name]["class_path"] for name in SECTIONS if record is not None and record[name]}
    for path in parts.configs:
        config = read_config(path)
        _check(
            path,
            "",
            config,
            (*TOP_LEVEL, *OPTIONS_OF.get(command, ()), "weights_only", "return_predictions", "verbose"),
        )
        for name, section in config.items():
            if isinstance(section, str) and name in SECTIONS:
                chosen[name] = section
            elif isinstance(section, Mapping) and name in SECTIONS:
                chosen[name] = section.get("class_path", chosen.get(name))
                _check(path, f"{name}.", section, ("class_path", "init_args", "dict_kwargs"))
                _check(path, f"{name}.init_args.", section.get("init_args") or {}, _arguments(path, name, chosen[name]))
            elif isinstance(section, Mapping) and name == "trainer":
                _check(path, "trainer.", section, _parameters(Trainer))
    known = (*OPTIONS, *OPTIONS_OF.get(command, ()))
    for option in parts.options:
        if not option.startswith("--"):
            continue
        key, _, value = option[2:].partition("=")
        first, *rest = key.removesuffix("+").split(".")
        _check("command line", "--", [first], known)
        if first in SECTIONS and not rest and value:
            chosen[first] = value
        rest = rest[1:] if rest[:1] == ["init_args"] else rest
        if first in SECTIONS and rest and rest[0] not in ("class_path", "dict_kwargs", "help"):
            _check("command line", f"--{first}.", rest[:1], _arguments("command line", first, chosen.get(first)))
        elif first == "trainer" and rest:
            _check("command line", "--trainer.", rest[:1], _parameters(Trainer))


def _check(where: str, prefix: str, given: Iterable[str], known: Iterable[str]) -> None:
    known = known if isinstance(known, _AnyKey) else list(known)
    for key in given:
        if key not in known:
            raise ConfigurationError(
                f"{where}: unknown key '{prefix}{key}'{did_you_mean(key, known)}; known: {', '.join(known)}"
            )


def _arguments(where: str, section: str, class_path: str | None) -> list[str]:
    base = SECTIONS[section]
    known = {name: found for found in _subclasses(base) for name in (found.__name__, dotted_path(found))}
    if class_path is None:
        names = ", ".join(sorted({found.__name__ for found in known.values()}))
        raise ConfigurationError(f"{where}: {section} needs a class_path; known: {names}")
    if class_path in known:
        return _parameters(known[class_path])
    if "." in class_path:  # a class of the user's own, which the parser imports
        return _AnyKey()
    names = sorted({found.__name__ for found in known.values()})
    raise ConfigurationError(
        f"{where}: unknown {section} class '{class_path}'{did_you_mean(class_path, names)}; known: {', '.join(names)}; "
        f"one of your own needs its module under `plugins:`"
    )


class _AnyKey(list[str]):
    """A list of known keys that holds every key."""

    def __contains__(self, key: object) -> bool:
        return True


def _subclasses(base: type) -> list[type]:
    found = []
    for subclass in base.__subclasses__():
        found += [subclass] if not inspect.isabstract(subclass) else []
        found += _subclasses(subclass)
    return found


def _parameters(owner: type) -> list[str]:
    return [name for name in inspect.signature(owner).parameters if name != "self"]
