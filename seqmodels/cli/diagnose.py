"""`seqmodels diagnose`: the laboratory for long dependencies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from seqmodels.checkpoint_file import find_checkpoint
from seqmodels.cli.options import parse
from seqmodels.diagnostics.checkpoint_gates import checkpoint_timescales
from seqmodels.diagnostics.figures import new_figure
from seqmodels.diagnostics.gradient_flow import FlowOptions, measure_flows, write_flow_report
from seqmodels.diagnostics.memory_grid import Cell, folder_records, run_grid, spec_name
from seqmodels.diagnostics.memory_report import memory_table, write_memory_report
from seqmodels.diagnostics.memory_tasks import memory_task_registry
from seqmodels.diagnostics.progress import Progress
from seqmodels.diagnostics.solve import Training
from seqmodels.diagnostics.timescales import timescale_table, write_timescale_report
from seqmodels.errors import ConfigurationError, DataError, did_you_mean
from seqmodels.inference.load import load
from seqmodels.inference.plugins import import_entry_points, import_plugins

USAGE = """usage: seqmodels diagnose EXPERIMENT [options]

{experiments}

Memory:     seqmodels diagnose memory --encoders rnn lstm gru --tasks adding temporal_order --lengths 100 200 400
Gradients:  seqmodels diagnose gradient-flow --encoders rnn lstm gru --length 200
Units:      seqmodels diagnose timescales --ckpt_path runs/my_run --input texts.txt

`seqmodels diagnose EXPERIMENT --help` lists the options of an experiment. Encoders and tasks are names, mappings such
as "{{name: lstm, forget_bias: 1}}", or a file .yaml or .json that lists them. Memory tasks: {tasks}."""


def run(arguments: Sequence[str]) -> int:
    """Runs an experiment and returns the exit status.

    Raises:
        ConfigurationError: the experiment or an option is unknown or wrong, or matplotlib is not installed.
        DataError: a file cannot be read.
    """
    given = list(arguments)
    if not given or given[0] in ("-h", "--help"):
        lines = "\n".join(f"  {name:<14} {text}" for name, (_, text) in EXPERIMENTS.items())
        print(USAGE.format(experiments=lines, tasks=", ".join(memory_task_registry.names())))
        return 0 if given else 2
    name, rest = given[0], given[1:]
    if name not in EXPERIMENTS:
        raise ConfigurationError(
            f"no experiment '{name}'{did_you_mean(name, EXPERIMENTS)}; known: {', '.join(EXPERIMENTS)}"
        )
    experiment, description = EXPERIMENTS[name]
    parser = ArgumentParser(
        prog=f"seqmodels diagnose {name}", description=f"{description.capitalize()}.", exit_on_error=False
    )
    parser.add_argument("--output", type=str, default=f"diagnostics/{name}", help="folder of the report and figures")
    parser.add_argument("--plugins", type=str, action="append", default=[], help="module of your own to import first")
    for written in experiment(parser, rest):
        print(written)
    return 0


def _memory(parser: ArgumentParser, arguments: Sequence[str]) -> list[Path]:
    """Runs the grid of memory tasks."""
    _add_encoders(parser, "the encoders to compare")
    parser.add_argument("--tasks", type=str, nargs="+", default=["adding", "temporal_order"], help="the memory tasks")
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[100, 200, 400], help="steps, as each task counts them"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="a run for each")
    parser.add_class_arguments(Training, as_group=False)
    given = _parse(parser, arguments)
    training = Training(**_fields(Training, given))
    cells = [
        Cell(encoder, task, length, seed)
        for task in _specs("--tasks", given.tasks)
        for length in given.lengths
        for encoder in _specs("--encoders", given.encoders)
        for seed in given.seeds
    ]
    folder = Path(given.output)
    run_grid(cells, training, folder, Progress())
    records = folder_records(folder, training)  # also what earlier calls found
    print(f"{memory_table(records)}\n")
    return write_memory_report(records, folder)


def _gradient_flow(parser: ArgumentParser, arguments: Sequence[str]) -> list[Path]:
    """Measures gradients by distance."""
    _add_encoders(parser, "the encoders to compare")
    parser.add_argument("--task", type=str, default="temporal_order", help="the memory task that gives inputs and loss")
    parser.add_argument("--length", type=int, default=200, help="steps, as the task counts them")
    parser.add_class_arguments(FlowOptions, as_group=False)
    parser.add_class_arguments(Training, as_group=False, skip={"max_steps", "max_seconds"})
    given = _parse(parser, arguments)
    options = FlowOptions(**_fields(FlowOptions, given))
    training = replace(Training(**_fields(Training, given)), max_steps=max(options.train_steps, 1))
    (task_spec,) = _specs("--task", [given.task])
    task = memory_task_registry.create(task_spec, given.length)
    flows = measure_flows(_specs("--encoders", given.encoders), task, training, options)
    for flow in flows:
        print(f"{flow.condition}: {flow.encoder} {flow.verdict} (reach {flow.reach()} of {task.steps} steps)")
    return write_flow_report(flows, spec_name(task_spec), task, training, options, Path(given.output))


def _timescales(parser: ArgumentParser, arguments: Sequence[str]) -> list[Path]:
    """Measures the units of a checkpoint."""
    parser.add_argument("--ckpt_path", type=str, default=None, help="the checkpoint, or the folder of a run")
    parser.add_argument("--input", type=str, default=None, help="file of texts, one a line; random inputs if left out")
    parser.add_argument("--rows", type=int, default=64, help="texts to read at the most, or random rows")
    parser.add_argument("--steps", type=int, default=256, help="steps of a random row")
    parser.add_argument("--wanted", type=int, default=None, help="steps that memory should last; the rows' mean length")
    parser.add_argument("--seed", type=int, default=0, help="of random inputs")
    given = _parse(parser, arguments)
    if given.ckpt_path is None:
        raise ConfigurationError("timescales needs a trained model: --ckpt_path FILE, or the folder of a run")
    for name, least in (("rows", 1), ("steps", 2), ("wanted", 2)):
        value = getattr(given, name)
        if value is not None and value < least:
            raise ConfigurationError(f"--{name} must be at least {least}, got {value}")
    model = load(find_checkpoint(given.ckpt_path))
    texts = None if given.input is None else _texts(given.input)
    found = checkpoint_timescales(model, texts, rows=given.rows, steps=given.steps, seed=given.seed)
    wanted = max(2, round(found[0].steps)) if given.wanted is None else given.wanted
    source = {
        "checkpoint": given.ckpt_path,
        "inputs": f"{min(given.rows, len(texts))} texts of {given.input}"
        if texts is not None
        else f"{given.rows} random rows of {given.steps} steps, seed {given.seed}",
    }
    print(f"{timescale_table(found)}\n")
    return write_timescale_report(found, wanted, source, Path(given.output))


Experiment = Callable[[ArgumentParser, Sequence[str]], list[Path]]
EXPERIMENTS: dict[str, tuple[Experiment, str]] = {
    "memory": (_memory, "which encoder solves which memory task, up to which length"),
    "gradient-flow": (_gradient_flow, "how far gradients reach, at initialisation, scaled up and trained"),
    "timescales": (_timescales, "how long the units of a trained model remember"),
}


def _add_encoders(parser: ArgumentParser, meaning: str) -> None:
    parser.add_argument("--encoders", type=str, nargs="+", default=["rnn", "lstm", "gru", "mingru"], help=meaning)


def _parse(parser: ArgumentParser, arguments: Sequence[str]) -> Any:
    given = parse(parser, arguments)
    new_figure()  # that matplotlib is missing is said before the work, not after it
    import_entry_points()
    import_plugins(given.plugins)
    return given


def _fields(options: type, given: Any) -> dict[str, Any]:
    return {name: getattr(given, name) for name in options.__dataclass_fields__ if name in given}  # type: ignore[attr-defined]


def _specs(option: str, given: Sequence[str]) -> list[str | dict[str, Any]]:
    """Returns what was typed as specs: names, mappings in YAML, and the entries of files."""
    specs: list[str | dict[str, Any]] = []
    for typed in given:
        if typed.endswith((".yaml", ".yml", ".json")):
            specs += _listed(option, typed)
        else:
            specs.append(_spec(option, typed))
    return specs


def _listed(option: str, path: str) -> list[str | dict[str, Any]]:
    try:
        entries = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{option} {path}: cannot be read: {error}") from error
    if not isinstance(entries, list):
        raise DataError(f"{option} {path}: expected a list of names and mappings, got {type(entries).__name__}")
    return [_spec(option, entry if isinstance(entry, str) else json.dumps(entry)) for entry in entries]


def _spec(option: str, typed: str) -> str | dict[str, Any]:
    try:
        value = yaml.safe_load(typed)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{option}: {typed!r} is no name and no mapping in YAML") from error
    if isinstance(value, Mapping):
        return dict(value)
    return typed


def _texts(path: str) -> list[str]:
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--input {path}: cannot be read: {error}") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise DataError(f"--input {path}: holds no texts; write one a line")
    return texts
