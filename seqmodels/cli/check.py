"""`seqmodels check`: the promises of the encoder contract, put to the test on anyone's encoder or cell."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser

from seqmodels.cli.options import parse
from seqmodels.cli.specs import read_value
from seqmodels.conformance import check_subject, report_of, subject_of, table
from seqmodels.errors import ConfigurationError
from seqmodels.inference.plugins import import_entry_points, import_plugins

USAGE = "seqmodels check --encoder my_module:MyEncoder --encoder.hidden_size 7"


def run(arguments: Sequence[str]) -> int:
    """Reads the options, prints the table and returns the exit status: 0 if every promise is kept, else 1.

    Raises:
        ConfigurationError: an option is wrong, or there is no such encoder.
    """
    others: list[str] = []
    typed = list(_take(arguments, others))
    given = parse(_parser(), others)
    spec: Any = None
    for names, value in typed:
        spec = _put(spec, names, value)
    name = spec.get("name") if isinstance(spec, Mapping) else spec
    if not isinstance(name, str):
        raise ConfigurationError(f"check needs an encoder, by its registered name or as module:Class, such as {USAGE}")
    import_entry_points()
    import_plugins(given.plugins)
    spec = {**(spec if isinstance(spec, Mapping) else {}), **_mapping(given.arguments), "name": _found(name)}
    _check_device(given.device)
    output = None if given.output is None else Path(given.output).expanduser()
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)  # what cannot be written is said before the work
    subject = subject_of(spec, {}, input_size=given.input_size, device=given.device, seed=given.seed)
    results = check_subject(subject)
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(table(name, results, colours=colours))
    report = report_of(name, results)
    if output is not None:
        output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if report["kept"] else 1


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="seqmodels check",
        description="Checks an encoder or cell against every promise of the contract; exits with 1 if one is broken.",
        exit_on_error=False,
    )
    parser.add_argument(
        "--encoder",
        type=str,
        default=None,
        help="a registered name, or module:Class; its arguments as --encoder.NAME VALUE",
    )
    parser.add_argument("--arguments", type=str, default="{}", help="arguments of the encoder, as one JSON object")
    parser.add_argument("--input_size", type=int, default=None, help="features of each input step (default: 5)")
    parser.add_argument("--plugins", type=str, action="append", default=[], help="module of your own to import first")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the inputs")
    parser.add_argument("--device", type=str, default="cpu", help="where to compute, such as cuda")
    parser.add_argument("--output", type=str, default=None, help="file for the results as JSON")
    return parser


def _take(arguments: Sequence[str], others: list[str]) -> Iterator[tuple[list[str], Any]]:
    """Yields the path below `--encoder` and the value of each option about it; puts the rest into `others`."""
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name == "--encoder" or name.startswith("--encoder."):
            found = value if equals else next(rest, None)
            if found is None:
                raise ConfigurationError(f"{name} needs a value, as in {USAGE}")
            yield name.split(".")[1:], read_value(found)
        else:
            others.append(argument)


def _put(spec: Any, names: list[str], value: Any) -> Any:
    """Returns a spec with one value of it replaced; a bare name becomes a mapping."""
    if not names:
        return {**spec, "name": value} if isinstance(spec, dict) and isinstance(value, str) else value
    whole = {"name": spec} if isinstance(spec, str) else dict(spec or {})
    whole[names[0]] = _put(whole.get(names[0]), names[1:], value)
    return whole


def _mapping(text: str) -> Mapping[str, Any]:
    values = read_value(text)
    if not isinstance(values, dict):
        raise ConfigurationError(f"--arguments: expected a JSON object such as '{{\"hidden_size\": 7}}', got {text!r}")
    return values


def _found(name: str) -> str:
    """Returns the dotted path of `module:Class`, with the module imported as a plugin is; other names as they are."""
    module, colon, class_name = name.partition(":")
    if not colon:
        return name
    import_plugins([module])
    return f"{module}.{class_name}"


def _check_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"--device: torch cannot compute on '{name}' here: {reason}; try cpu") from error
