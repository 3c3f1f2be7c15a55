"""Processes that train together: what each holds, gathered, and an end in good order."""

from __future__ import annotations

import atexit
from typing import Any

import torch.distributed

_registered = False


def destroy_at_exit() -> None:
    """Has the process group, if there is one, destroyed before the interpreter ends.

    Lightning does so with NCCL only; the threads of Gloo, still running then, can abort the process.
    """
    global _registered
    if not _registered and torch.distributed.is_available() and torch.distributed.is_initialized():
        atexit.register(_destroy)
        _registered = True


def gather(value: Any) -> list[Any]:
    """Returns what each process holds, in the order of ranks; every process must call it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def rank() -> int:
    """Returns the number of this process, 0 where there is only one."""
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if running else 0


def _destroy() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
