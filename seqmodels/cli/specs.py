"""The components named in config files and options, checked by the registries before Lightning is imported."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from seqmodels.attention import attention_registry
from seqmodels.cli.arguments import Arguments, read_config
from seqmodels.data.readers import reader_registry
from seqmodels.data.tokenizer_training import tokenizer_registry
from seqmodels.decoders import decoder_registry
from seqmodels.embedders import character_encoder_registry, embedder_registry
from seqmodels.encoders import encoder_registry
from seqmodels.errors import ConfigurationError
from seqmodels.registry import Registry

REGISTRIES: dict[str, Registry[Any]] = {
    "model.encoder": encoder_registry,
    "model.embedder": embedder_registry,
    "model.decoder": decoder_registry,
    "model.target_embedder": embedder_registry,
    "data.reader": reader_registry,
    "data.tokenizer": tokenizer_registry,
    "data.target_tokenizer": tokenizer_registry,
}
DEFAULTS: dict[str, Any] = {
    "model.encoder": "lstm",
    "model.embedder": "embedding",
    "model.decoder": "attention",
    "model.target_embedder": "embedding",
    "data.tokenizer": "word",
}
DEFAULTS_OF: dict[str, dict[str, Any]] = {"SequencePairs": {"data.tokenizer": "bpe"}}  # where a class has others
ANNOTATIONS: dict[str, Registry[Any]] = {
    "EncoderSpec": encoder_registry,
    "AttentionSpec": attention_registry,
    "CharacterEncoderSpec": character_encoder_registry,
}


def check_specs(parts: Arguments, record: Mapping[str, Any] | None) -> None:
    """Checks names and arguments of encoder, embedder, reader and tokenizer, with all that is nested in them.

    Options that set a part of one, as `--model.encoder.hidden_size 7`, become one option that sets the whole, so that
    they may be added to a bare name as well.

    Raises:
        ConfigurationError: a name or an argument is unknown; names the file or option, and the nearest known one.
    """
    for key, registry in REGISTRIES.items():
        spec = _begin(key, parts, record)
        for path in parts.configs:
            section, name = key.split(".")
            found = _section(read_config(path), section).get(name)
            if found is not None:
                spec = found
                _check(f"{path}: {section}.init_args.{name}", registry, spec, whole=False)
        typed = list(_take(parts, key))
        for names, value in typed:
            spec = _put(spec, names, value)
        if typed:
            _check(f"command line: --{key}", registry, spec)
            parts.options += [f"--{_long(key)}={spec if isinstance(spec, str) else json.dumps(spec)}"]
        elif spec is not None:
            _check(key, registry, spec)


def _begin(key: str, parts: Arguments, record: Mapping[str, Any] | None) -> Any:
    """Returns what holds where nothing is said: the checkpoint's own, or the default of the class that is named."""
    section, name = key.split(".")
    stored = (record or {}).get(section) or {}
    defaults = {**DEFAULTS, **DEFAULTS_OF.get(_class_name(section, parts), {})}
    return stored.get("init_args", {}).get(name, defaults.get(key))


def _class_name(section: str, parts: Arguments) -> str:
    """Returns the name of the class that the config files, or options after them, choose for `model` or `data`."""
    given = [read_config(path).get(section) for path in parts.configs]
    for option, following in zip(parts.options, [*parts.options[1:], ""], strict=False):
        name, equals, value = option.partition("=")
        if name in (f"--{section}", f"--{section}.class_path"):
            given.append(read_value(value if equals else following))
    chosen = ""
    for entry in given:
        named = entry.get("class_path") if isinstance(entry, Mapping) else entry
        chosen = named if isinstance(named, str) else chosen
    return chosen.rpartition(".")[2]


def _section(config: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    present = config.get(section)
    arguments = present.get("init_args") if isinstance(present, Mapping) else None
    return arguments if isinstance(arguments, Mapping) else {}


def _long(key: str) -> str:
    return key.replace(".", ".init_args.")


def _take(parts: Arguments, key: str) -> Iterator[tuple[list[str], Any]]:
    """Takes the options about a spec out of `parts`; yields the path below it and the value of each."""
    kept: list[str] = []
    rest = iter(parts.options)
    for option in rest:
        name, equals, value = option.partition("=")
        short = name.removeprefix("--").replace(".init_args.", ".", 1)
        if name.startswith("--") and (short == key or short.startswith(f"{key}.")):
            if not equals:
                value = next(rest, "")
            yield short.removeprefix(key).split(".")[1:], read_value(value)
        else:
            kept.append(option)
    parts.options = kept


def _put(spec: Any, names: list[str], value: Any) -> Any:
    """Returns a spec with one value of it replaced; a bare name becomes a mapping."""
    if not names:
        return value
    whole = {"name": spec} if isinstance(spec, str) else dict(spec or {})
    whole[names[0]] = _put(whole.get(names[0]), names[1:], value)
    return whole


def read_value(text: str) -> Any:
    """Returns a value as YAML reads it, but `1e-3` is a number."""
    try:
        value = yaml.safe_load(text)
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
    except yaml.YAMLError:
        return text


def _check(where: str, registry: Registry[Any], spec: Any, whole: bool = True) -> None:
    """Checks a spec and those nested in it; `whole` says that no argument may be missing."""
    try:
        name, arguments = registry.check(spec)
    except ConfigurationError as error:
        if not whole and "needs the argument" in str(error):  # what is missing may be typed
            return
        raise ConfigurationError(f"{where}: {error}") from error
    for argument, parameter in registry.arguments(name).items():
        value = arguments.get(argument)
        for kind, nested in ANNOTATIONS.items():
            if value is not None and re.search(rf"\b{kind}\b", _annotation(parameter)):
                values = dict(enumerate(value)) if isinstance(value, list) else {None: value}
                for place, item in values.items():
                    _check(f"{where}.{argument}{'' if place is None else f'[{place}]'}", nested, item, whole)


def _annotation(parameter: inspect.Parameter) -> str:
    return "" if parameter.annotation is inspect.Parameter.empty else str(parameter.annotation)
