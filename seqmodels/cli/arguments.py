"""What the user typed, put in the order in which the last word wins, before anything is parsed.

From the weakest to the strongest: the data settings of the checkpoint, the user's config files, the model settings of
the checkpoint (the weights fit no other), and the options typed on the command line.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seqmodels.checkpoint_file import find_checkpoint
from seqmodels.errors import ConfigurationError, did_you_mean

SHORT_FORMS = {"--input": "--data.init_args.predict", "-c": "--config"}
KEYS = (
    "seed_everything",
    "trainer",
    "model",
    "data",
    "plugins",
    "float32_matmul_precision",
    "ckpt_path",
    "weights_only",
)
KEYS_OF = {
    "validate": ("verbose",),
    "test": ("verbose",),
    "predict": ("return_predictions", "output", "format"),
}
SPLIT_OF = {"validate": "validation", "test": "test", "predict": "predict"}
OPTIONS_OF = {"predict": ("input",), "fit": ("dry_run",)}


@dataclass
class Arguments:
    """The arguments of a subcommand, taken apart.

    Attributes:
        configs: the config files, in order.
        options: everything else, in order.
        ckpt_path: the checkpoint, if one is named.
        dry_run: whether one batch is to be tried only.
        plugins: modules to import first, from the config files and the command line.
    """

    configs: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    ckpt_path: str | None = None
    dry_run: bool = False
    plugins: list[str] = field(default_factory=list)

    def typed(self, key: str) -> bool:
        """Tells whether an option beginning with `key` was typed."""
        return any(option == key or option.startswith((f"{key}=", f"{key}.")) for option in self.options)

    @property
    def departures(self) -> str:
        """The options typed that change scores (model, data, how much of it), as one would type them again, sorted."""
        found: list[list[str]] = []
        for option in self.options:
            if option.startswith("--") or not found:
                found.append([])
            found[-1].append(option)
        ours = ("--model", "--data", "--trainer.limit")
        return " ".join(sorted(shlex.join(words) for words in found if words[0].startswith(ours)))

    @property
    def asks(self) -> bool:
        """Whether something is to be printed only, help or the resolved config."""
        names = {option.partition("=")[0] for option in self.options}
        return bool(names & {"-h", "--help", "--print_config"}) or any(name.endswith(".help") for name in names)

    def where(self, key: str) -> str:
        """Returns where a key such as `model.dropout` was set: the command line, or the last file that has it."""
        if self.typed(f"--{key}") or self.typed(f"--{key.replace('.', '.init_args.', 1)}"):
            return "command line"
        for path in reversed(self.configs):
            found: Any = read_config(path)
            for part in key.split("."):
                found = found.get("init_args", found) if isinstance(found, dict) else None
                found = found.get(part) if isinstance(found, dict) else None
            if found is not None:
                return path
        return ""


def take_apart(command: str, arguments: Sequence[str]) -> Arguments:
    """Sorts the arguments of a subcommand; of the config files it looks at the outermost keys.

    A fit that goes on from a checkpoint in a run's folder, and names no config file, goes on with the run's own.

    Raises:
        ConfigurationError: a config file is missing or is not YAML (names the file and the line); an outermost key or
            an option is unknown; or a command that needs a checkpoint has none.
        CheckpointError: there is no such checkpoint.
    """
    parts = Arguments()
    rest = iter([SHORT_FORMS.get(argument, argument) for argument in arguments])
    for argument in rest:
        name, equals, value = argument.partition("=")
        name = SHORT_FORMS.get(name, name)
        if name == "--config":
            parts.configs.append(value if equals else _next(rest, name))
        elif name == "--ckpt_path":
            parts.ckpt_path = value if equals else _next(rest, name)
        elif name == "--dry_run":
            if equals and value not in ("true", "false"):
                raise ConfigurationError(f"--dry_run is true or false, or has no value, got '{value}'")
            parts.dry_run = value != "false"
        elif name == "--plugins":
            parts.plugins += _as_list(yaml.safe_load(value if equals else _next(rest, name)))
        else:
            parts.options.append(name + equals + value)
    _check_outermost(command, parts)
    for path in parts.configs:
        config = read_config(path)
        parts.plugins += [name for name in _as_list(config.get("plugins")) if name not in parts.plugins]
        parts.ckpt_path = parts.ckpt_path or config.get("ckpt_path")
    if parts.ckpt_path is not None:
        parts.ckpt_path = str(find_checkpoint(parts.ckpt_path, to_go_on=command == "fit"))
        config_of_run = Path(parts.ckpt_path).parent.parent / "config.yaml"
        if command == "fit" and not parts.configs and config_of_run.is_file():
            parts.configs.append(str(config_of_run))
            parts.plugins += _as_list(read_config(str(config_of_run)).get("plugins"))
    elif command != "fit" and not parts.asks:
        raise ConfigurationError(
            f"{command} needs a trained model: --ckpt_path FILE, or the folder of a run such as runs/NAME/version_0"
        )
    return parts


def _check_outermost(command: str, parts: Arguments) -> None:
    known = [*KEYS, *KEYS_OF.get(command, ())]
    for path in parts.configs:
        check_known(path, "", read_config(path), known)
    options = [*known, *OPTIONS_OF.get(command, ()), "config", "print_config", "help"]
    given = [
        option[2:].partition("=")[0].removesuffix("+").split(".")[0] for option in parts.options if option[:2] == "--"
    ]
    check_known("command line", "--", given, options)


def check_known(where: str, prefix: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Makes sure that all of the `given` names are among the `known`.

    Raises:
        ConfigurationError: one is not; names the nearest, and all of them where that is no long list.
    """
    known = list(known)
    for key in given:
        if key not in known:
            near = did_you_mean(str(key), known)
            listed = "" if near and len(known) > 20 else f"; known: {', '.join(known)}"
            raise ConfigurationError(f"{where}: unknown key '{prefix}{key}'{near}{listed}")


def read_config(path: str) -> dict[str, Any]:
    """Returns a config file's contents.

    Raises:
        ConfigurationError: it is missing, empty, or not YAML; names the file, and the line.
    """
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        near = did_you_mean(file.name, os.listdir(file.parent)) if file.parent.is_dir() else ""
        raise ConfigurationError(f"--config {path}: no such file{near}")
    try:
        config = yaml.safe_load(file.read_text("utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigurationError(f"{path}:{line}: not YAML: {error.problem}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: not YAML: {error}") from error
    if config is None:
        raise ConfigurationError(f"{path}: holds nothing; expected the keys model, data and trainer, as in configs/")
    if not isinstance(config, dict):
        raise ConfigurationError(
            f"{path}: expected a mapping with the keys model, data and trainer, got {type(config).__name__}"
        )
    return config


def put_together(command: str, parts: Arguments, record: Mapping[str, Any] | None) -> list[str]:
    """Returns the arguments for the parser, the strongest last; see the module's docstring."""
    configs = [["--config", config] for config in parts.configs]
    if record is not None:
        data = [] if record["data"] is None else [_as_config({"data": _without_other_splits(command, parts, record)})]
        configs = [*data, *configs, _as_config({"model": record["model"]})]
    checkpoint = ["--ckpt_path", parts.ckpt_path] if parts.ckpt_path else []
    plugins = [f"--plugins={parts.plugins}"] if parts.plugins else []
    dry = ["--trainer.fast_dev_run=true"] if parts.dry_run else []
    return [
        command,
        *(argument for config in configs for argument in config),
        *plugins,
        *checkpoint,
        *dry,
        *parts.options,
    ]


def _without_other_splits(command: str, parts: Arguments, record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the checkpoint's data without splits that the command does not read, if they are of another reader."""
    given: dict[str, Any] = record["data"]
    arguments = dict(given["init_args"])
    if command == "fit" or not parts.where("data.reader"):
        return given
    needed = {SPLIT_OF[command]}
    if command != "predict" and arguments.get(SPLIT_OF[command]) is None:
        needed.add("train")  # of which it is a part
    for split in {"train", "validation", "test"} - needed:
        if isinstance(arguments.get(split), dict):
            arguments[split] = None
    return {**given, "init_args": arguments}


def _as_config(values: dict[str, Any]) -> list[str]:
    return ["--config", json.dumps(values)]


def _as_list(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _next(rest: Iterator[str], name: str) -> str:
    value = next(rest, None)
    if value is None:
        raise ConfigurationError(f"{name} needs a value")
    return value
