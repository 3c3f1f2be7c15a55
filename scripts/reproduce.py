"""Runs recipes over seeds, one run at a time, and writes their scores and costs as the README's table.

    python scripts/reproduce.py                                        (every recipe in configs/, seeds 1 2 3)
    python scripts/reproduce.py configs/tagging/wnut17.yaml --seeds 1 2 3 4 5
    python scripts/reproduce.py configs/classification/splice.yaml --folds 10 --seeds 1
    python scripts/reproduce.py --table-only                           (the table from results/*.json, nothing is run)

Each run is `seqmodels fit` and `seqmodels test` in processes of their own, in a folder below --runs; a run whose scores
lie there already is not repeated. The figures of all runs of a recipe are kept in results/, which git tracks, and in
results/curves/ what was validated in the course of each run; `scripts/training_curves.py` draws it.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
CROSS_VALIDATED = {"splice": 10}  # recipe: folds, where there is no test split of its own
COSTS = (
    "parameters",
    "epochs",
    "fit_seconds",
    "cpu_seconds",
    "tokens_per_second",
    "peak_memory_mib",
    "monitor",
    "machine",
)

Results = dict[str, Any]
Runner = Callable[[Sequence[str]], None]  # runs a command and raises CalledProcessError where it fails


class Run(NamedTuple):
    """One training of a recipe: its seed and, in cross validation, its fold."""

    seed: int
    fold: int | None = None

    @property
    def name(self) -> str:
        return f"seed_{self.seed}" if self.fold is None else f"seed_{self.seed}_fold_{self.fold}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line names and returns the exit status."""
    given = parse(arguments)
    if not given.table_only:
        for config in given.configs or all_recipes(ROOT / "configs"):
            folds = given.folds or CROSS_VALIDATED.get(config.stem)
            seeds = given.seeds or ([1] if folds else [1, 2, 3])
            reproduce(config, runs_of(seeds, folds), folds, given, run_command)
    table = format_table(read_results(given.results))
    print(table)
    given.readme.write_text(replace_between(given.readme.read_text("utf-8"), table), "utf-8")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=Path, help="recipes; all but the quickstart where none is named")
    parser.add_argument("--seeds", nargs="+", type=int, help="seeds of the runs (1 2 3; in cross validation 1)")
    parser.add_argument("--folds", type=int, help="cross validation in so many parts (splice: 10)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        help="an option for `seqmodels fit`, such as --option=--trainer.max_epochs=1",
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "reproduce", help="where runs go")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where the figures are kept")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="the file that holds the table")
    parser.add_argument("--table-only", action="store_true", help="run nothing, write the table from the kept figures")
    return parser.parse_args(arguments)


def all_recipes(folder: Path) -> list[Path]:
    """Returns the recipes below a folder, without the quickstart's."""
    return sorted(path for path in folder.glob("*/*.yaml") if path.parent.name != "quickstart")


def runs_of(seeds: Iterable[int], folds: int | None) -> list[Run]:
    """Returns the runs over seeds and, in cross validation, folds."""
    return [Run(seed, fold) for seed in seeds for fold in (range(folds) if folds else [None])]


def reproduce(config: Path, runs: Sequence[Run], folds: int | None, given: argparse.Namespace, runner: Runner) -> None:
    """Does the runs of a recipe that are not done yet and keeps their figures, after each, in the results folder."""
    name = f"{config.parent.name}_{config.stem}"
    file = given.results / f"{name}.json"
    kept = json.loads(file.read_text("utf-8"))["runs"] if file.exists() else []
    for run in runs:
        folder = given.runs / name / run.name
        results = do_run(config, run, folds, folder, given.option, runner)
        if given.option:
            results["options"] = given.option
        kept = [other for other in kept if (other["seed"], other["fold"]) != run] + [{**run._asdict(), **results}]
        kept.sort(key=lambda other: (other["seed"], other["fold"] or 0))
        recipe = f"configs/{config.parent.name}/{config.name}"
        given.results.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"recipe": recipe, "folds": folds, "runs": kept}, indent=2) + "\n", "utf-8")
        keep_curve(given.results / "curves" / f"{name}.csv", run, newest(folder).parent / "metrics.csv")
        print(f"{name} {run.name}: {summary(results)}", flush=True)


def do_run(config: Path, run: Run, folds: int | None, folder: Path, options: Sequence[str], runner: Runner) -> Results:
    """Trains and tests in a folder, unless that was done there, and returns the run's figures.

    Raises:
        subprocess.CalledProcessError: one of the commands failed.
    """
    done = finished(folder)
    if done is None:
        runner(fit_command(config, run, folds, folder, options))
        runner([sys.executable, "-m", "seqmodels", "test", "--ckpt_path", str(newest(folder).parent)])
        done = finished(folder)
    if done is None:
        raise SystemExit(f"{newest(folder)}: expected test scores after `seqmodels test`, found none")
    return {key: value for key, value in done.items() if key in COSTS or key.startswith("test_")}


def fit_command(config: Path, run: Run, folds: int | None, folder: Path, options: Sequence[str]) -> list[str]:
    """Returns the command that trains."""
    command = [sys.executable, "-m", "seqmodels", "fit", "--config", str(config), f"--seed_everything={run.seed}"]
    command += [f"--trainer.default_root_dir={folder}", "--trainer.enable_progress_bar=false"]
    if folds:
        command += [f"--data.init_args.folds={folds}", f"--data.init_args.fold={run.fold}"]
    return [*command, *options]


def newest(folder: Path) -> Path:
    """Returns the `results.json` written last in a run's folder.

    Raises:
        SystemExit: there is none.
    """
    found = sorted(folder.rglob("results.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise SystemExit(f"{folder}: expected a results.json after `seqmodels fit`, found none")
    return found[-1]


def finished(folder: Path) -> Results | None:
    """Returns a run's figures if it has test scores already."""
    if not any(folder.rglob("results.json")):
        return None
    results: Results = json.loads(newest(folder).read_text("utf-8"))
    return results if any(key.startswith("test_") for key in results) else None


def keep_curve(file: Path, run: Run, metrics: Path) -> None:
    """Writes a run's validation scores, a line for each validation, among those of the recipe's other runs."""
    own = {"seed": str(run.seed), "fold": "" if run.fold is None else str(run.fold)}
    logged = [{**own, **row} for row in read_rows(metrics)]
    points = [row for row in logged if any(value and name.startswith("val_") for name, value in row.items())]
    if not points:
        return
    others = [row for row in read_rows(file) if (row["seed"], row["fold"]) != (own["seed"], own["fold"])]
    rows = sorted([*others, *points], key=lambda row: (int(row["seed"]), int(row["fold"] or 0), int(row["step"])))
    scores = sorted({name for row in rows for name in row if name.startswith("val_")})
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as opened:
        columns = [*own, "epoch", "step", *scores]
        writer = csv.DictWriter(opened, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(file: Path) -> list[dict[str, str]]:
    """Returns the lines of a CSV file by column; none where there is no file."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def run_command(command: Sequence[str]) -> None:
    """Runs a command and shows what it writes."""
    print(" ".join(["seqmodels", *command[3:]]), flush=True)
    subprocess.run(command, check=True)


def read_results(folder: Path) -> list[Results]:
    """Returns the kept figures of all recipes, by name."""
    kept = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    return [recipe for recipe in kept if "runs" in recipe]


def format_table(recipes: Sequence[Results]) -> str:
    """Returns the Markdown table of recipes, and below it the machines."""
    head = (
        "recipe",
        "test metric",
        "mean ± sd",
        "runs",
        "parameters",
        "minutes (of CPU)",
        "tokens per second",
        "peak memory, MiB",
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(format_row(recipe) for recipe in recipes)]
    return "\n".join([*lines, "", *format_machines(recipes)])


def format_row(recipe: Results) -> str:
    """Returns the row of a recipe; costs are the means over its runs."""
    runs = recipe["runs"]
    metric = main_metric(runs[0])
    count = f"{recipe['folds']} folds" if recipe["folds"] else f"{len(runs)} seed{'s' * (len(runs) > 1)}"
    if recipe["folds"] and len(runs) != recipe["folds"]:
        count = f"{len(runs)} of {count}"
    parameters = round(statistics.mean(run["parameters"] for run in runs))
    minutes = f"{statistics.mean(run['fit_seconds'] for run in runs) / 60:.1f}"
    if all("cpu_seconds" in run for run in runs):
        minutes += f" ({statistics.mean(run['cpu_seconds'] for run in runs) / 60:.1f})"
    speeds = [run["tokens_per_second"] for run in runs if run["tokens_per_second"]]
    memory = max(run["peak_memory_mib"] for run in runs)
    cells = [
        f"[{Path(recipe['recipe']).stem}]({recipe['recipe']}){format_options(runs)}",
        metric.removeprefix("test_").replace("_", " "),
        format_scores(metric, [run[metric] for run in runs]),
        count,
        f"{parameters:,}",
        minutes,
        f"{statistics.mean(speeds):,.0f}" if speeds else "–",
        f"{memory:,}",
    ]
    return f"| {' | '.join(cells)} |"


def format_options(runs: Sequence[Results]) -> str:
    """Returns the options that runs were started with beside their recipe, for the table."""
    given = dict.fromkeys(option for run in runs for option in run.get("options", []))
    return f" with {', '.join(f'`{option}`' for option in given)}" if given else ""


def main_metric(results: Results) -> str:
    """Returns the test metric that is the one which training watched, or else the first that is no loss."""
    if results.get("test_perplexity") and results["test_perplexity"] == results.get("test_word_perplexity"):
        return "test_perplexity"  # of a model of words, which is what the literature gives
    watched = str(results.get("monitor") or "").partition("_")[2]
    if f"test_{watched}" in results:
        return f"test_{watched}"
    tested = [key for key in results if key.startswith("test_")]
    return next((key for key in tested if not key.endswith("loss")), tested[0])


def format_scores(metric: str, scores: Sequence[float]) -> str:
    """Returns mean and standard deviation (of a sample); fractions in percent, other scores as they are."""
    if metric.endswith(("_bleu", "_chrf", "_ter")):  # of 100 already, and no one writes a sign for it
        scale, unit, digits = 1, "", 2
    elif metric.endswith(("loss", "perplexity", "error", "character")):
        scale, unit, digits = 1, "", 3
    else:
        scale, unit, digits = 100, "%", 2
    text = f"{scale * statistics.mean(scores):.{digits}f}{unit}"
    return text if len(scores) == 1 else f"{text} ± {scale * statistics.stdev(scores):.{digits}f}"


def format_machines(recipes: Sequence[Results]) -> list[str]:
    """Returns a line for each machine, with the recipes that ran on it where there are several."""
    ran: dict[str, list[str]] = {}
    for recipe in recipes:
        for machine in dict.fromkeys(run["machine"] for run in recipe["runs"]):
            ran.setdefault(machine, []).append(Path(recipe["recipe"]).stem)
    if len(ran) == 1:
        return [f"Measured on {machine}." for machine in ran]
    return [f"Measured on {machine}: {', '.join(names)}.  " for machine, names in ran.items()]


def summary(results: Results) -> str:
    """Returns a run's figures in a line."""
    metric = main_metric(results)
    return f"{metric} {format_scores(metric, [results[metric]])}, {results['fit_seconds'] / 60:.1f} minutes"


def replace_between(text: str, table: str, markers: tuple[str, str] = (BEGIN, END)) -> str:
    """Returns the text with the table in place of what is between the markers.

    Raises:
        SystemExit: a marker is missing.
    """
    first, last = markers
    head, begin, rest = text.partition(first)
    _, end, tail = rest.partition(last)
    if not (begin and end):
        raise SystemExit(f"the README needs the lines {first} and {last} for the table to go between")
    return f"{head}{first}\n{table}\n{last}{tail}"


if __name__ == "__main__":
    sys.exit(main())
