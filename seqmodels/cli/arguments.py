"""What the user typed, put in the order in which the last word wins, before anything is parsed.

From the weakest to the strongest: the data settings of the checkpoint, the user's config files, the model settings of
the checkpoint (the weights fit no other), and the options typed on the command line.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seqmodels.errors import CheckpointError, ConfigurationError, did_you_mean

SHORT_FORMS = {"--input": "--data.init_args.predict", "-c": "--config"}


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


def take_apart(arguments: Sequence[str]) -> Arguments:
    """Sorts the arguments of a subcommand; reads the config files only for their plugins.

    Raises:
        ConfigurationError: a config file is missing or is not YAML; names the file and the line.
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
            parts.dry_run = not equals or value.lower() in ("true", "1", "yes")
        elif name == "--plugins":
            parts.plugins += _as_list(yaml.safe_load(value if equals else _next(rest, name)))
        else:
            parts.options.append(name + equals + value)
    for config in parts.configs:
        parts.plugins += _as_list(read_config(config).get("plugins"))
    if parts.ckpt_path is not None:
        parts.ckpt_path = str(find_checkpoint(parts.ckpt_path))
    return parts


def read_config(path: str) -> dict[str, Any]:
    """Returns a config file's contents.

    Raises:
        ConfigurationError: it is missing, or not YAML; names the file, and the line.
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
        return {}
    if not isinstance(config, dict):
        raise ConfigurationError(
            f"{path}: expected a mapping with the keys model, data and trainer, got {type(config).__name__}"
        )
    return config


def find_checkpoint(path: str) -> Path:
    """Returns the checkpoint file; of a run's folder, the best one in it, or else the last.

    Raises:
        CheckpointError: there is none; names the nearest name in that folder.
    """
    file = Path(os.path.expandvars(os.path.expanduser(path)))
    if file.is_dir():
        for candidate in (file / "best.ckpt", file / "last.ckpt"):
            for place in (candidate, file / "checkpoints" / candidate.name):
                if place.is_file():
                    return place
        raise CheckpointError(f"{file}: no best.ckpt or last.ckpt in this folder, nor in its checkpoints/")
    if not file.exists():
        near = did_you_mean(file.name, os.listdir(file.parent)) if file.parent.is_dir() else ""
        raise CheckpointError(f"--ckpt_path {path}: no such checkpoint{near}")
    return file


def put_together(command: str, parts: Arguments, record: dict[str, Any] | None) -> list[str]:
    """Returns the arguments for the parser, the strongest last; see the module's docstring."""
    configs = [["--config", config] for config in parts.configs]
    if record is not None:
        data = [] if record["data"] is None else [_as_config({"data": record["data"]})]
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


def _as_config(values: dict[str, Any]) -> list[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False, encoding="utf-8") as stream:
        yaml.safe_dump(values, stream, allow_unicode=True)
    return ["--config", stream.name]


def _as_list(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _next(rest: Iterator[str], name: str) -> str:
    value = next(rest, None)
    if value is None:
        raise ConfigurationError(f"{name} needs a value")
    return value
