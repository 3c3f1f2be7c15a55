"""Encoders against memory tasks at several lengths: which solves what, and up to where."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqmodels.diagnostics.memory_tasks import MemoryTask, memory_task_registry
from seqmodels.diagnostics.progress import Progress
from seqmodels.diagnostics.solve import Solver, Training, solve
from seqmodels.encoders import EncoderSpec
from seqmodels.errors import DataError
from seqmodels.registry import Spec

FILE = "results.jsonl"
Record = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes:
        encoder: the encoder's spec.
        task: the task's spec.
        length: the task's length.
        seed: of weights and examples.
    """

    encoder: EncoderSpec
    task: Spec
    length: int
    seed: int

    def name(self) -> str:
        """Returns the cell as one line."""
        return f"{spec_name(self.encoder)} on {spec_name(self.task)} at {self.length}, seed {self.seed}"


def spec_name(spec: Spec) -> str:
    """Returns a spec as a short name: `lstm`, or `lstm(forget_bias=1)`."""
    if isinstance(spec, str):
        return spec
    arguments = ", ".join(f"{key}={_brief(value)}" for key, value in spec.items() if key != "name")
    return f"{spec['name']}({arguments})" if arguments else str(spec["name"])


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return spec_name(value) if "name" in value else json.dumps(value)
    if isinstance(value, (list, tuple)):
        return "+".join(map(_brief, value))
    return str(value)


def run_grid(cells: Sequence[Cell], training: Training, folder: Path, progress: Progress) -> list[Record]:
    """Runs the cells that `results.jsonl` of the folder does not hold yet, and returns the records of all.

    Each record is written as soon as its run is done, so an interrupted grid goes on where it stopped. One made with
    other settings of the training counts as another run.

    Args:
        cells: the runs.
        training: how each is trained.
        folder: where `results.jsonl` is; made if it is not there.
        progress: is told what is done.

    Raises:
        ConfigurationError: a cell names an unknown encoder or task, or a length is too short; before anything is run.
        DataError: a line of `results.jsonl` is damaged, other than the last, which an interruption may cut short.
    """
    tasks = [_check(cell, training) for cell in cells]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    done = {_key(record): record for record in read_records(path)}
    found = []
    for number, (cell, task) in enumerate(zip(cells, tasks, strict=True), start=1):
        settings = {**asdict(cell), "training": asdict(training)}
        key = _key(settings)
        place = f"[{number}/{len(cells)}] {cell.name()}"
        if key in done:
            progress.line(f"{place}: done before, {outcome(done[key])}")
        else:
            watch = progress.watch(place, training.max_steps)
            solution, _ = solve(cell.encoder, task, training, seed=cell.seed, report=watch)
            done[key] = {**settings, **asdict(solution)}
            _append(path, done[key])
            progress.line(f"{place}: {outcome(done[key])}")
        found.append(done[key])
    return found


def folder_records(folder: Path, training: Training) -> list[Record]:
    """Returns what all calls found in a folder: a record of each task, encoder, length and seed.

    Of a run that was made with several settings it is the one with these, or else the last one. Tasks and encoders are
    in the order in which they first came, lengths ascend.

    Args:
        folder: where `results.jsonl` is.
        training: the settings that come first.

    Raises:
        DataError: see `read_records`.
    """
    chosen: dict[tuple[str, str, int, int], Record] = {}
    for record in read_records(folder / FILE):
        key = (spec_name(record["task"]), spec_name(record["encoder"]), record["length"], record["seed"])
        if key not in chosen or chosen[key]["training"] != asdict(training):
            chosen[key] = record
    tasks, encoders = (list(dict.fromkeys(key[place] for key in chosen)) for place in (0, 1))
    order = sorted(chosen, key=lambda key: (tasks.index(key[0]), key[2], encoders.index(key[1]), key[3]))
    return [chosen[key] for key in order]


def outcome(record: Record) -> str:
    """Returns what came of a run in a few words."""
    verb = f"solved in {record['steps']} steps" if record["solved"] else f"not solved in {record['steps']} steps"
    return f"{verb}, {record['seconds']:.0f} s, best {record['best']:.4g} (chance {record['chance']:.4g})"


def solved_length(records: Sequence[Record]) -> dict[tuple[str, str], int]:
    """Returns, for each task and encoder, the longest length solved by most of the seeds, 0 if there is none."""
    longest = {(spec_name(record["task"]), spec_name(record["encoder"])): 0 for record in records}
    for (task, encoder, length), runs in by_cell(records):
        if 2 * sum(run["solved"] for run in runs) > len(runs):
            longest[task, encoder] = max(longest[task, encoder], length)
    return longest


def tried_length(records: Sequence[Record]) -> dict[tuple[str, str], int]:
    """Returns, for each task and encoder, the longest length that was tried."""
    longest: dict[tuple[str, str], int] = {}
    for (task, encoder, length), _ in by_cell(records):
        longest[task, encoder] = max(longest.get((task, encoder), 0), length)
    return longest


def by_cell(records: Sequence[Record]) -> Iterator[tuple[tuple[str, str, int], list[Record]]]:
    """Yields the runs of each task, encoder and length, which differ in their seeds."""
    groups: dict[tuple[str, str, int], list[Record]] = {}
    for record in records:
        key = (spec_name(record["task"]), spec_name(record["encoder"]), record["length"])
        groups.setdefault(key, []).append(record)
    yield from groups.items()


def read_records(path: Path) -> list[Record]:
    """Returns the records of a file, none if it is not there; a last line that was cut short is left out.

    Raises:
        DataError: another line is no record.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
            _key(records[-1])
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):
                raise DataError(
                    f"{path}:{number}: expected a record of a run, got {line[:40]!r}; delete the line"
                ) from error
            records = records[: number - 1]
    return records


def _append(path: Path, record: Record) -> None:
    """Adds a record as a line, behind a line break if the last line was cut short."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if len(whole) < len(text):
        try:
            json.loads(text[len(whole) :])
            whole = text + "\n"
        except ValueError:
            pass
        path.write_text(whole, encoding="utf-8")
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")


def _key(record: Record) -> str:
    """Returns what tells a run from others, as text; the number of steps at the most is a part of it."""
    return json.dumps(
        {name: record[name] for name in ("encoder", "task", "length", "seed", "training")}, sort_keys=True
    )


def _check(cell: Cell, training: Training) -> MemoryTask:
    task = memory_task_registry.create(cell.task, cell.length)
    Solver(cell.encoder, task, training, cell.seed)
    return task
