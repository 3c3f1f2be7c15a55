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
    if not _registered and _are_several():
        atexit.register(_destroy)
        _registered = True


def count_and_rank() -> tuple[int, int]:
    """Returns how many processes train together, and which of them this is: 1 and 0 where there is only one."""
    return (torch.distributed.get_world_size(), torch.distributed.get_rank()) if _are_several() else (1, 0)


def gather(value: Any) -> list[Any]:
    """Returns what each process holds, in the order of ranks; every process must call it."""
    if not _are_several():
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def _are_several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _destroy() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
