"""Parser errors as one readable message that names the key, what it takes, what came, and the nearest right word."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from seqmodels.errors import ConfigurationError, SeqmodelsError, did_you_mean

KINDS = {"callbacks": Callback, "logger": Logger, "optimizer": Optimizer, "lr_scheduler": LRScheduler}
WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "list": "a list"}


@contextlib.contextmanager
def parser_error(where: Callable[[str], str] = lambda key: "") -> Iterator[None]:
    """Turns what the parser, and Lightning's Trainer, find wrong into a `ConfigurationError` of a line or two.

    Args:
        where: gives the place of a key, such as the file that holds it.
    """
    try:
        yield
    except (ArgumentError, MisconfigurationException, ValueError, TypeError) as error:
        ours = _ours(error)
        if ours is not None:
            raise ours from error
        key, message = explain(str(error))
        place = ": ".join(filter(None, (where(key) if key else "", key)))
        raise ConfigurationError(f"{place}: {message}" if place else message) from error


def _ours(error: BaseException | None) -> SeqmodelsError | None:
    """Returns the error of ours at the root of a chain: the parser wraps what a constructor raises."""
    while error is not None:
        if isinstance(error, SeqmodelsError):
            return error
        error = error.__cause__ or error.__context__
    return None


def explain(message: str) -> tuple[str, str]:
    """Returns the key that a parser's message is about, or an empty string, and what is wrong with it."""
    keys = [found.removeprefix("init_args.") for found in re.findall(r'Parser key "([^"]+)"', message)]
    key = ".".join(dict.fromkeys(keys))
    refused = re.search(r"Option '([^']+)' is not accepted", message)
    if refused:
        return key, _refused(refused[1], message, refused.start())
    missing = re.search(r"arguments are required: (.*)", message)
    if missing:
        names = " and ".join(sorted(name.strip().rpartition(".")[2] for name in missing[1].split(",")))
        return (
            "",
            f"{names} not given; name a config file (--config FILE), or type --{names.split(' ')[0]} and its options",
        )
    wanted = _wanted(message)
    unknown = re.search(
        r"Expected a dot import path string: (\S+)|class_path='([^']+)'|Problem with given class_path '([^']+)':\s*"
        r"(?:No module|module|cannot import)|Expected a path but (\S+) either not accessible",
        message,
    )
    if unknown and not set(wanted) - {"true or false", "a list"}:
        return key, _unknown_class(next(filter(None, unknown.groups())), key)
    if wanted:
        given = re.search(r"(?:Got value|Given value): (.*?)(?:\. Got value.*)?$", message, re.MULTILINE)
        value = given[1] if given else ""
        choices = [
            word for found in re.findall(r"Literal\[([^\]]*)\]", message) for word in re.findall(r"'(.*?)'", found)
        ]
        return key, f"expected {' or '.join(wanted)}, got {value!r}{did_you_mean(value, choices)}"
    return key, _shortened(message)


def _wanted(message: str) -> list[str]:
    """Returns, in words, the types of which one was expected."""
    found = []
    for kind, choices in re.findall(r"Expected a (?:<class '([\w.]+)'>|typing\.Literal\[([^\]]*)\])", message):
        if choices:
            found.append("one of " + choices.replace("'", ""))
        elif kind != "NoneType":
            found.append(WORDS.get(kind, "a list" if kind.endswith("Iterable") else kind))
    return list(dict.fromkeys(found))


def _refused(name: str, message: str, place: int) -> str:
    """Says which argument a class does not have, and which it has."""
    paths = re.findall(r"class_path '([^']+)'", message[:place])[-1:]
    paths = re.findall(r"Got value: Namespace\(class_path='([^']+)'", message) or paths
    name = name.removeprefix("init_args.")
    owner = _import(paths[0]) if paths else None
    if owner is None:
        return f"unknown key '{name}'"
    supplied = ("self", "params", "optimizer")  # by the task, to optimisers and schedules
    known = [argument for argument in inspect.signature(owner).parameters if argument not in supplied]
    return f"{owner.__name__} has no argument '{name}'{did_you_mean(name, known)}; it has: {', '.join(known)}"


def _unknown_class(path: str, key: str) -> str:
    name = path.rpartition(".")[2]
    kind = KINDS.get(key.rpartition(".")[2])
    known = [] if kind is None else sorted({found.__name__ for found in _subclasses(kind)})
    module = path.rpartition(".")[0]
    return (
        f"there is no class '{path}'{did_you_mean(name, known)}; "
        f"{f'is the module {module} installed?' if module and not did_you_mean(name, known) else ''}"
        f"one of your own needs its module under `plugins:`"
    )


def _subclasses(base: type[Any]) -> list[type]:
    return [found for child in base.__subclasses__() for found in (child, *_subclasses(child))]


def _import(path: str) -> type | None:
    module, _, name = path.rpartition(".")
    try:
        owner = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None
    return owner if isinstance(owner, type) else None


def _shortened(message: str) -> str:
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    noise = re.compile(
        r"Does not validate|Subtypes:|Errors:|Expected a <class 'NoneType'>|Given value|^Parser key .*:$"
    )
    kept = [line for line in lines if not noise.search(line)]
    return " ".join(dict.fromkeys(kept)) or message
