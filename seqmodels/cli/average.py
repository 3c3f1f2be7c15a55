"""`seqmodels average`: one checkpoint of the mean weights of several."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser

from seqmodels.checkpoint_file import find_checkpoint
from seqmodels.cli.options import parse
from seqmodels.errors import ConfigurationError
from seqmodels.inference.averaging import average_checkpoints


def run(arguments: Sequence[str]) -> int:
    """Reads the options, writes the checkpoint and returns the exit status.

    Raises:
        ConfigurationError: an option is wrong.
        CheckpointError: a file is missing or damaged, or they are not of one model.
    """
    parser = ArgumentParser(
        prog="seqmodels average",
        description="Averages the weights of checkpoints of one run, which often generalises better than any of them.",
        exit_on_error=False,
    )
    parser.add_argument("--output", type=str, default=None, help="the checkpoint to write")
    parser.add_argument("checkpoints", type=str, nargs="*", help="the checkpoints, two or more")
    given = parse(parser, arguments)
    if given.output is None or len(given.checkpoints) < 2:
        raise ConfigurationError(
            "expected --output FILE and two checkpoints or more: average --output x.ckpt a.ckpt b.ckpt"
        )
    paths = [find_checkpoint(path) for path in given.checkpoints]
    average_checkpoints(paths, given.output)
    print(f"{given.output}: the mean of {len(paths)} checkpoints")
    return 0
