"""Options of the commands that run without Lightning: parsed, and applied, with one-line errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from seqmodels.errors import ConfigurationError, did_you_mean
from seqmodels.inference.predictor import Predictor


def move_to_device(model: Predictor, device: str) -> None:
    """Moves a model to where it is to compute.

    Raises:
        ConfigurationError: there is no such device, or it cannot be used.
    """
    try:
        model.to(device)
    except (AssertionError, RuntimeError) as error:  # torch built without CUDA asserts
        raise ConfigurationError(f"--device {device}: cannot be used here: {str(error).splitlines()[0]}") from error


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> Any:
    """Returns the parsed arguments as a namespace.

    Raises:
        ConfigurationError: an option is unknown, or a value is not of its type.
    """
    known = [option[2:] for action in parser._actions for option in action.option_strings if option.startswith("--")]
    for argument in arguments:
        name = argument[2:].partition("=")[0]
        if argument.startswith("--") and name not in known:
            raise ConfigurationError(f"unknown option '--{name}'{did_you_mean(name, known)}; known: {', '.join(known)}")
    try:
        return parser.parse_args(list(arguments))
    except ArgumentError as error:
        message = str(error)
        key = re.search(r'Parser key "([^"]+)"', message)
        value = re.search(r"(?:Got value|Given value|invalid\b.*?value): (.*)", message)
        choices = re.search(r"Expected a typing\.Literal\[([^]]+)\]", message)
        if key and choices:
            wanted = " or ".join(choice.strip("' ") for choice in choices[1].split(","))
            got = repr(value[1]) if value else "something else"
            raise ConfigurationError(f"--{key[1]}: expected {wanted}, got {got}") from error
        kinds = re.findall(r"Expected a <class '(\w+)'>", message)
        if key and kinds:
            words = {"int": "a whole number", "float": "a number", "bool": "true or false"}
            wanted = " or ".join(dict.fromkeys(words.get(kind, kind) for kind in kinds if kind != "NoneType"))
            raise ConfigurationError(
                f"--{key[1]}: expected {wanted}, got {value[1] if value else 'something else'!r}"
            ) from error
        raise ConfigurationError(" ".join(message.split())) from error
