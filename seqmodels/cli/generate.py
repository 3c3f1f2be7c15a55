"""`seqmodels generate`: a language model writes on where prompts stop."""

from __future__ import annotations

import itertools
import os
import stat
import sys
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from seqmodels.checkpoint_file import find_checkpoint
from seqmodels.cli.input_lines import input_lines
from seqmodels.cli.options import move_to_device, parse
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.inference.load import load
from seqmodels.inference.plugins import import_entry_points
from seqmodels.inference.writing import WritingOptions


def run(arguments: Sequence[str]) -> int:
    """Reads the options, writes the texts and returns the exit status.

    One text goes to a terminal or pipe as it is written; several come when each batch of them is done.

    Raises:
        ConfigurationError: an option is wrong, or no checkpoint is named.
        DataError: the file of prompts cannot be read, or a prompt has words that the model does not know.
    """
    given = parse(_parser(), arguments)
    settings = {name: getattr(given, name) for name in WritingOptions.__dataclass_fields__}
    options = WritingOptions(**settings)
    if given.samples < 1:
        raise ConfigurationError(f"--samples must be at least 1, got {given.samples}")
    if given.samples > 1 and (options.beam_size > 1 or options.temperature == 0):
        option = f"--beam_size {options.beam_size}" if options.beam_size > 1 else "--temperature 0"
        raise ConfigurationError(f"--samples {given.samples}: {option} draws nothing, so that all would be the same")
    if given.ckpt_path is None:
        raise ConfigurationError("generate needs a trained language model: --ckpt_path FILE, or the folder of a run")
    import_entry_points()
    model = load(find_checkpoint(given.ckpt_path), plugins=given.plugins)
    move_to_device(model, given.device)
    prompts = [prompt for prompt in _prompts(given.prompt, given.input) for _ in range(given.samples)]
    if len(prompts) == 1:
        pieces = model.stream(prompts[0], options)
        first_piece = next(pieces, "")  # what is wrong with the prompt is said before anything is printed
        for piece in itertools.chain((prompts[0], first_piece), pieces):
            print(piece, end="", flush=True)
        print()
        return 0
    for first in range(0, len(prompts), model.batch_size):
        batch = prompts[first : first + model.batch_size]
        for prompt, text in zip(batch, model.generate(batch, options, first=first), strict=True):
            print(f"{prompt}{text}", flush=True)
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="seqmodels generate", description="Writes on where prompts stop.", exit_on_error=False)
    parser.add_argument("--ckpt_path", type=str, default=None, help="the checkpoint, or the folder of a run")
    parser.add_argument(
        "--prompt",
        type=str,
        action="append",
        default=None,
        help="what the text begins with; may be given several times",
    )
    parser.add_argument("--input", type=str, default=None, help="file of prompts, one a line; - is standard input")
    parser.add_argument("--samples", type=int, default=1, help="texts for each prompt")
    parser.add_argument(
        "--stop",
        type=str,
        action="append",
        default=[],
        help="text at which the writing ends, which is not part of it; may be given several times",
    )
    parser.add_argument("--device", type=str, default="cpu", help="where to compute, such as cuda")
    parser.add_argument("--plugins", type=str, action="append", default=[], help="module of your own to import first")
    parser.add_class_arguments(WritingOptions, as_group=False, skip={"stop"})
    return parser


def _prompts(typed: list[str] | None, path: str | None) -> list[str]:
    """Returns the prompts: those typed and those of the file; one that begins a new text where there are none."""
    prompts = list(typed or [])
    if path is not None:
        try:
            with input_lines(path) as lines:
                prompts += lines
        except OSError as error:
            raise DataError(f"--input {path}: cannot be read: {error.strerror or error}") from error
        if not prompts:
            raise DataError(f"--input {path}: holds no prompts; write one a line")
    elif not prompts and _is_piped():
        print("seqmodels generate: standard input is not read; --input - takes prompts from it", file=sys.stderr)
    return prompts or [""]


def _is_piped() -> bool:
    """Tells whether a pipe or a file was put before the command."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):  # closed, or taken over by a test
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
