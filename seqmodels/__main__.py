"""The command `seqmodels`: answers help and typos at once, and imports what a subcommand needs only then."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from seqmodels.errors import ConfigurationError, SeqmodelsError, did_you_mean

COMMANDS = {
    "fit": "train a model and keep its best checkpoint",
    "validate": "score a checkpoint on the validation data",
    "test": "score a checkpoint on the test data",
    "predict": "write a checkpoint's predictions for a file or standard input",
    "translate": "translate the lines of a file or of standard input",
    "generate": "write texts with a language model, from prompts",
    "average": "average the weights of several checkpoints of a run",
    "diagnose": "measure what encoders remember and how far their gradients reach",
    "check": "check an encoder of your own against every promise of the contract",
    "encoders": "list the encoders with their arguments",
    "decoders": "list the decoders of translators with their arguments",
    "embedders": "list the embedders with their arguments",
    "readers": "list the file formats that can be read, with their arguments",
    "tokenizers": "list the tokenizers with their arguments",
}

# What is listed: where its registry is.
REGISTRIES = {
    "encoders": ("seqmodels.encoders", "encoder_registry"),
    "decoders": ("seqmodels.decoders", "decoder_registry"),
    "embedders": ("seqmodels.embedders", "embedder_registry"),
    "readers": ("seqmodels.data.readers", "reader_registry"),
    "tokenizers": ("seqmodels.data.tokenizer_training", "tokenizer_registry"),
}

# What needs no Lightning: the module whose `run` takes the arguments.
ALONE = {
    "translate": "seqmodels.cli.translate",
    "generate": "seqmodels.cli.generate",
    "average": "seqmodels.cli.average",
    "diagnose": "seqmodels.cli.diagnose",
    "check": "seqmodels.cli.check",
}

USAGE = """usage: seqmodels COMMAND [options]

{commands}

Train:     seqmodels fit --config configs/tagging/ud_english_ewt.yaml
Try out:   seqmodels fit --config configs/tagging/ud_english_ewt.yaml --dry_run
Test:      seqmodels test --ckpt_path runs/ud_english_ewt/version_0/checkpoints/best.ckpt
Predict:   seqmodels predict --ckpt_path best.ckpt --input text.txt --output tags.conll
Translate: seqmodels translate --ckpt_path best.ckpt --input source.txt --output target.txt
Write:     seqmodels generate --ckpt_path best.ckpt --prompt "def "

`seqmodels COMMAND --help` lists the options of a command."""

LIST_USAGE = """usage: seqmodels {command} [NAME ...] [--plugins MODULE ...]

Lists the registered {command} with their arguments and defaults; with names, those only, with their description.
--plugins imports modules of your own first, so that what they register is listed too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status: 0, 1 for an error at work, 2 for one in the arguments."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if given else 2
    if given[0] == "--version":
        from seqmodels import __version__

        print(f"seqmodels {__version__}")
        return 0
    command, rest = given[0], given[1:]
    if command not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"seqmodels: no command '{command}'{did_you_mean(command, COMMANDS)}; known: {known}", file=sys.stderr)
        return 2
    try:
        if command in REGISTRIES:
            return _list(command, rest)
        if command in ALONE:
            return int(importlib.import_module(ALONE[command]).run(rest))
        return _run(command, rest)
    except (SeqmodelsError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of our output went away, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"seqmodels {command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    except KeyboardInterrupt:
        print(f"seqmodels {command}: interrupted", file=sys.stderr)
        return 130


def _run(command: str, arguments: list[str]) -> int:
    """Runs a subcommand of Lightning; each check comes before the import that the next one waits for."""
    from seqmodels.cli.arguments import take_apart

    parts = take_apart(command, arguments)

    from seqmodels.inference.plugins import import_entry_points, import_plugins

    import_entry_points()
    import_plugins(parts.plugins)

    from seqmodels.checkpoint_file import read_record
    from seqmodels.cli.specs import check_specs
    from seqmodels.inference.checkpoint import check_registered

    record = None if parts.ckpt_path is None else read_record(parts.ckpt_path)
    if record is not None:
        check_registered(record)
    check_specs(parts, record)

    from seqmodels.cli.command import run

    return run(command, parts, record)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    return USAGE.format(commands="\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()))


def _list(command: str, arguments: list[str]) -> int:
    """Prints the entries of a registry."""
    if "-h" in arguments or "--help" in arguments:
        print(LIST_USAGE.format(command=command))
        return 0
    from seqmodels.inference.plugins import import_entry_points, import_plugins
    from seqmodels.listing import list_with_arguments

    names: list[str] = []
    plugins: list[str] = []
    into_plugins = False
    for argument in arguments:
        if argument == "--plugins":
            into_plugins = True
        elif argument.startswith("-"):
            print(
                f"seqmodels {command}: no option '{argument}'{did_you_mean(argument, ['--plugins'])}", file=sys.stderr
            )
            return 2
        else:
            (plugins if into_plugins else names).append(argument)
    import_entry_points()
    import_plugins(plugins)
    module, registry = REGISTRIES[command]
    print(list_with_arguments(getattr(importlib.import_module(module), registry), names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
