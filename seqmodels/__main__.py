"""The command `seqmodels`: answers help and typos at once, and imports what a subcommand needs only then."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from seqmodels.errors import SeqmodelsError, did_you_mean

COMMANDS = {
    "fit": "train a model and keep its best checkpoint",
    "validate": "score a checkpoint on the validation data",
    "test": "score a checkpoint on the test data",
    "predict": "write a checkpoint's predictions for a file or standard input",
    "encoders": "list the encoders with their arguments",
}

USAGE = """usage: seqmodels COMMAND [options]

{commands}

Train:    seqmodels fit --config configs/tagging/ud_english_ewt.yaml
Try out:  seqmodels fit --config configs/tagging/ud_english_ewt.yaml --dry_run
Test:     seqmodels test --ckpt_path runs/ud_english_ewt/version_0/checkpoints/best.ckpt
Predict:  seqmodels predict --ckpt_path best.ckpt --input text.txt --output tags.conll

`seqmodels COMMAND --help` lists the options of a command."""

ENCODERS_USAGE = """usage: seqmodels encoders [NAME ...] [--plugins MODULE ...]

Lists the registered encoders with their arguments and defaults; with names, those only, with their description.
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
        if command == "encoders":
            return _encoders(rest)
        from seqmodels.cli import run

        return run(command, rest)
    except SeqmodelsError as error:
        print(f"seqmodels {command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 0


def _usage() -> str:
    width = max(map(len, COMMANDS))
    return USAGE.format(commands="\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()))


def _encoders(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(ENCODERS_USAGE)
        return 0
    from seqmodels.encoders.listing import list_with_arguments
    from seqmodels.inference.plugins import import_entry_points, import_plugins

    names, plugins, into_plugins = [], [], False
    for argument in arguments:
        if argument == "--plugins":
            into_plugins = True
        elif argument.startswith("-"):
            print(f"seqmodels encoders: no option '{argument}'{did_you_mean(argument, ['--plugins'])}", file=sys.stderr)
            return 2
        else:
            (plugins if into_plugins else names).append(argument)
    import_entry_points()
    import_plugins(plugins)
    print(list_with_arguments(names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
