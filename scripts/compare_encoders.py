"""Trains the same classifier and the same tagger with one encoder after another, and writes the README's table of them.

    python scripts/compare_encoders.py                                          (both tasks, every encoder, seed 1)
    python scripts/compare_encoders.py --tasks imdb --encoders lstm mingru
    python scripts/compare_encoders.py --table-only                     (the table from results/*.json, nothing is run)

Between two runs of a task nothing differs but `encoder:`, its one line: a layer that gives 256 features a step, 128 of
each direction (the convolution, which sees both sides at once: 256). The recipes are those of `configs/` but for what
`TASKS` says: in the tagger fewer epochs, one layer and a cheaper reading of the characters. Each run is
`seqmodels fit` and `seqmodels test` in processes of their own, in a folder below --runs; a run whose scores lie there
already is not repeated. The figures of all runs of a task are kept in results/encoders_<task>.json, which git tracks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import reproduce
from reproduce import (
    ROOT,
    Results,
    Run,
    Runner,
    do_run,
    finished,
    format_machines,
    format_scores,
    main_metric,
    run_command,
    summary,
)

BEGIN, END = "<!-- encoders:begin -->", "<!-- encoders:end -->"
NONE = "–"  # in the table, where nothing was run


class Task(NamedTuple):
    """A recipe and what the comparison changes in it, so that most runs take about five minutes on one thread."""

    recipe: str
    epochs: int
    options: tuple[str, ...] = ()


TASKS = {
    "imdb": Task("configs/classification/imdb.yaml", epochs=6),
    "ud_english_ewt": Task(
        "configs/tagging/ud_english_ewt.yaml",
        epochs=4,
        # as many features as the recipe's recurrent encoder of characters, which would take most of the time
        options=('--model.init_args.embedder.characters={"name": "cnn", "embedding_dim": 50, "filters": 200}',),
    ),
}
BY_KERNEL = ("lstm", "gru", "rnn")  # these read both directions by themselves
IN_PARALLEL = ("mingru", "minlstm", "qrnn", "sru", "rglru", "s6", "mlstm")
ENCODERS = {
    **{name: {"name": name, "hidden_size": 128, "bidirectional": True} for name in BY_KERNEL},
    **{name: {"name": "bidirectional", "layer": {"name": name, "hidden_size": 128}} for name in IN_PARALLEL},
    "convolution": {"name": "convolution", "hidden_size": 256},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line names and returns the exit status."""
    given = parse(arguments)
    if not given.table_only:
        for task in given.tasks:
            compare(task, given, run_command)
    table = format_table(read_comparisons(given.results))
    print(table)
    given.readme.write_text(replace_between(given.readme.read_text("utf-8"), table), "utf-8")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="recipes (both)")
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS), help="encoders (all)")
    parser.add_argument("--seed", type=int, default=1, help="seed of every run (1)")
    epochs = ", ".join(f"{name} {task.epochs}" for name, task in TASKS.items())
    parser.add_argument("--epochs", type=int, help=f"epochs of every run ({epochs})")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "encoders", help="where runs go")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where the figures are kept")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="the file that holds the table")
    parser.add_argument("--table-only", action="store_true", help="run nothing, write the table from the kept figures")
    return parser.parse_args(arguments)


def compare(name: str, given: argparse.Namespace, runner: Runner) -> None:
    """Does a task's runs that are not done yet and keeps their figures, after each, in the results folder.

    Raises:
        SystemExit: the kept figures are of runs with other epochs, another seed or other options.
        subprocess.CalledProcessError: a run failed.
    """
    task = TASKS[name]
    epochs = given.epochs or task.epochs
    setting = {"recipe": task.recipe, "epochs": epochs, "seed": given.seed, "options": list(task.options)}
    file = results_file(given.results, name)
    kept = read_kept(file, setting)
    for encoder in given.encoders:
        options = [f"--trainer.max_epochs={epochs}", *task.options, encoder_option(encoder)]
        folder = given.runs / name / f"epochs_{epochs}" / f"seed_{given.seed}" / encoder
        results = do_run(ROOT / task.recipe, Run(given.seed), None, folder, options, runner)
        best = (finished(folder) or {}).get("best_score")  # on validation, of what `monitor` names
        kept[encoder] = {"encoder": encoder, "spec": ENCODERS[encoder], **results, "best_score": best}
        rows = [kept[other] for other in ENCODERS if other in kept]
        given.results.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**setting, "encoders": rows}, indent=2) + "\n", "utf-8")
        print(f"{name} {encoder}: {summary(results)}", flush=True)


def encoder_option(encoder: str) -> str:
    """Returns the one line that differs from run to run."""
    return f"--model.init_args.encoder={json.dumps(ENCODERS[encoder])}"


def results_file(folder: Path, task: str) -> Path:
    """Returns where a task's figures are kept."""
    return folder / f"encoders_{task}.json"


def read_kept(file: Path, setting: Results) -> dict[str, Results]:
    """Returns the kept figures of a task, by encoder.

    Raises:
        SystemExit: they are of runs with another setting, beside which the new ones could not stand.
    """
    if not file.exists():
        return {}
    kept = json.loads(file.read_text("utf-8"))
    for key, expected in setting.items():
        if kept[key] != expected:
            raise SystemExit(
                f"{file}: expected figures of {key} {expected}, found {kept[key]}; give another folder by --results, "
                f"or remove the file"
            )
    return {row["encoder"]: row for row in kept["encoders"]}


def read_comparisons(folder: Path) -> dict[str, Results]:
    """Returns the kept figures of the tasks that have some, by task."""
    files = {name: results_file(folder, name) for name in TASKS}
    return {name: json.loads(file.read_text("utf-8")) for name, file in files.items() if file.exists()}


def format_table(comparisons: Mapping[str, Results]) -> str:
    """Returns the Markdown table of encoders, and below it how and where they were trained."""
    both = " / ".join(TASKS)
    head = ["encoder", *(f"[{name}]({task.recipe}), test accuracy" for name, task in TASKS.items())]
    head += [f"parameters, {both}", "training tokens per second", "peak memory, MiB", "minutes"]
    rows = {name: {row["encoder"]: row for row in kept["encoders"]} for name, kept in comparisons.items()}
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for encoder in ENCODERS:
        runs = [rows.get(name, {}).get(encoder) for name in TASKS]
        if any(runs):
            lines.append(format_row(encoder, runs))
    trained = [f"{name}: epochs {kept['epochs']}, seed {kept['seed']}.  " for name, kept in comparisons.items()]
    machines = format_machines([{**kept, "runs": kept["encoders"]} for kept in comparisons.values()])
    return "\n".join([*lines, *([""] if trained else []), *trained, *machines])


def format_row(encoder: str, runs: Sequence[Results | None]) -> str:
    """Returns the row of an encoder from its run of each task, None where there was none."""
    figures: list[Callable[[Results], str]] = [
        lambda run: f"{run['parameters']:,}",
        lambda run: f"{run['tokens_per_second'] or 0:,}",
        lambda run: f"{run['peak_memory_mib']:,}",
        lambda run: f"{run['fit_seconds'] / 60:.1f}",
    ]
    cells = [f"`{encoder}`", *(NONE if run is None else format_accuracy(run) for run in runs)]
    cells += [" / ".join(NONE if run is None else figure(run) for run in runs) for figure in figures]
    return f"| {' | '.join(cells)} |"


def format_accuracy(run: Results) -> str:
    """Returns the test score of what training watched."""
    metric = main_metric(run)
    return format_scores(metric, [run[metric]])


def replace_between(text: str, table: str) -> str:
    """Returns the text with the table between the markers of this comparison; see `reproduce.replace_between`."""
    return reproduce.replace_between(text, table, (BEGIN, END))


if __name__ == "__main__":
    sys.exit(main())
