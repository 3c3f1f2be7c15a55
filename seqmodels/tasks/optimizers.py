"""Optimisers and schedules as callables and as plain records, so that a checkpoint never holds code."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from seqmodels.errors import CheckpointError, ConfigurationError
from seqmodels.registry import dotted_path
from seqmodels.tasks import schedules
from seqmodels.tasks.plain import to_plain

Record = dict[str, Any]

# What the tasks' signatures say as a lambda, from which the command line reads it, so that `--model.optimizer.lr 0.01`
# alone is enough: Adam (Kingma and Ba, 2015) with torch's fused step, which halves the step of a small model on a CPU.
DEFAULT: Record = {"class_path": dotted_path(torch.optim.Adam), "init_args": {"lr": 1e-3, "fused": True}}


def to_record(factory: Any) -> Record | None:
    """Returns `{class_path, init_args}` of a class, a `functools.partial` of one, or a record; None for any other.

    Those others (a lambda, a function) train as well, but a checkpoint cannot name them: to go on from it, the task
    has to be built in Python again.
    """
    if factory is None:
        return None
    if getattr(factory, "__name__", "") == "<lambda>" and factory.__module__.startswith("seqmodels.tasks."):
        return dict(DEFAULT)
    if isinstance(factory, Mapping):
        return _record(from_record(factory).func, factory.get("init_args") or {})  # type: ignore[attr-defined]
    if isinstance(factory, type):
        return {"class_path": dotted_path(factory), "init_args": {}}
    if isinstance(factory, functools.partial):
        classes = [part for part in (factory.func, *factory.args) if isinstance(part, type)]
        if classes:
            try:
                return _record(classes[-1], factory.keywords)
            except ConfigurationError:
                return None
    return None


def _record(entry: type, arguments: Mapping[str, Any]) -> Record:
    """Returns the record of a class with those arguments that differ from its defaults, and the learning rate.

    The command line fills in every default: a record is the same without them, and fits other versions of torch.
    """
    defaults = {name: parameter.default for name, parameter in inspect.signature(entry).parameters.items()}
    kept = {
        name: value
        for name, value in to_plain(arguments).items()
        if name == "lr" or name not in defaults or value != _as_list(defaults[name])
    }
    return {"class_path": dotted_path(entry), "init_args": kept}


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def from_record(record: Any) -> Callable[..., Any]:
    """Returns the factory that a record names; a callable is returned as it is.

    Raises:
        CheckpointError: it names a class that is neither torch's nor imported already.
    """
    if callable(record):
        return cast("Callable[..., Any]", record)
    path = str(record["class_path"])
    module_name, _, name = path.rpartition(".")
    module = sys.modules.get(module_name)
    if module is None and module_name.startswith("torch.optim"):
        module = sys.modules["torch.optim"]
    entry = getattr(module, name, None)
    if not (isinstance(entry, type) and issubclass(entry, (Optimizer, LRScheduler, ReduceLROnPlateau))):
        raise CheckpointError(f"'{path}' is not an optimiser or schedule of torch, nor one that is imported already")
    return functools.partial(entry, **(record.get("init_args") or {}))


def schedule_config(scheduler: Any, monitor: str) -> Record:
    """Returns the record by which Lightning steps a schedule: ours each step, torch's each epoch.

    Raises:
        ConfigurationError: the callable made something that is no schedule.
    """
    if isinstance(scheduler, schedules.WarmupSchedule):
        return {"scheduler": scheduler, "interval": "step"}
    if isinstance(scheduler, torch.optim.lr_scheduler.OneCycleLR):
        return {"scheduler": scheduler, "interval": "step"}
    if isinstance(scheduler, ReduceLROnPlateau):
        return {"scheduler": scheduler, "interval": "epoch", "monitor": getattr(scheduler, "monitor", None) or monitor}
    if isinstance(scheduler, LRScheduler):
        return {"scheduler": scheduler, "interval": "epoch"}
    raise ConfigurationError(f"lr_scheduler must make a learning rate schedule, got {type(scheduler).__name__}")
