"""Averaging the weights of several checkpoints of one run: often a better model than any of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqmodels.checkpoint_file import KEY, read_checkpoint
from seqmodels.errors import CheckpointError, ConfigurationError

# What is said of the run beside its weights. Optimisers and loops are left out: training cannot go on from an average.
_KEPT = ("epoch", "global_step", "pytorch-lightning_version", "hparams_name", "hyper_parameters", KEY)


def average_checkpoints(paths: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]) -> None:
    """Writes a checkpoint with the mean of the weights of several checkpoints of one run.

    It serves `seqmodels.load`, testing and prediction as any other does; training cannot go on from it. What is not a
    floating-point number (counters) is that of the last of `paths`, and so is the record of the run.

    Args:
        paths: the checkpoints, two or more; each counts the same. Of a run's folder, its best one is taken.
        output: the file to write; its folder is made.

    Raises:
        ConfigurationError: there are fewer than two paths.
        CheckpointError: a file is missing, damaged or foreign, or one is not of the same run: its record or its weights
            differ in more than values.

    Reference:
        Vaswani et al. (2017), Attention is all you need, section 6.1; Izmailov et al. (2018), Averaging weights leads
        to wider optima and better generalization.
    """
    if len(paths) < 2:
        raise ConfigurationError(f"expected two checkpoints or more to average, got {len(paths)}")
    last = read_checkpoint(paths[-1])
    sums = {name: value.double() for name, value in last["state_dict"].items() if value.is_floating_point()}
    for path in paths[:-1]:
        other = read_checkpoint(path)
        _check_same(other, last, str(path), str(paths[-1]))
        for name, total in sums.items():
            total += other["state_dict"][name]
    weights = _divide(sums, len(paths), last["state_dict"])
    _write({**{key: last[key] for key in _KEPT if key in last}, "state_dict": weights}, Path(output))


def _divide(sums: Mapping[str, Tensor], count: int, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the means in the types of `like`; those that share memory there, such as tied embeddings, do here too."""
    means: dict[str, Tensor] = {}
    shared: dict[tuple[int, torch.Size, tuple[int, ...]], Tensor] = {}
    for name, value in like.items():
        place = (value.data_ptr(), value.shape, value.stride())
        if place not in shared:
            shared[place] = (sums[name] / count).to(value.dtype) if name in sums else value.clone()
        means[name] = shared[place]
    return means


def _write(checkpoint: dict[str, Any], output: Path) -> None:
    # Not in place: the weights are still mapped from their files, of which the output may be one.
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    torch.save(checkpoint, partial)
    os.replace(partial, output)


def _check_same(one: Mapping[str, Any], other: Mapping[str, Any], path: str, other_path: str) -> None:
    difference = next(_differences(one[KEY], other[KEY], ""), None) or next(
        _differences(_shapes(one), _shapes(other), "weights"), None
    )
    if difference is not None:
        raise CheckpointError(
            f"{path}: not of the same run as {other_path}: {difference}; average checkpoints of one run only"
        )


def _shapes(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{value.dtype} {tuple(value.shape)}" for name, value in checkpoint["state_dict"].items()}


def _differences(one: Any, other: Any, where: str) -> Iterator[str]:
    """Yields in what two nested records differ, each as the place and both values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {**one, **other}:
            place = f"{where}.{key}" if where else str(key)
            if key in one and key in other:
                yield from _differences(one[key], other[key], place)
            else:
                yield f"{place} is in {'the former' if key in one else 'the latter'} only"
    elif one != other:
        yield f"{where} is {_short(one)} and {_short(other)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
