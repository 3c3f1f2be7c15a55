"""Draws how validation went in the course of language models' trainings, beside where the published trainings ended.

    python scripts/training_curves.py

reads what `scripts/reproduce.py` kept of the recipes in `PUBLISHED` and writes `curves.png` and `curves.md` beside it,
in `results/curves/`. What was published is the end of a training, not its course: perplexity after so many epochs.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqmodels.diagnostics.figures import markdown_table, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).parent.parent
SCORE = "val_perplexity"


class Published(NamedTuple):
    """The perplexities of validation and test after the epochs of a published training."""

    epochs: int
    validation: float
    test: float
    source: str


PUBLISHED = {
    "ptb_medium": Published(39, 86.2, 82.7, "Zaremba, Sutskever and Vinyals (2014), table 1, untied"),
    "ptb_awd_lstm": Published(500, 61.2, 58.8, "Merity, Keskar and Socher (2018), the repository, not finetuned"),
    "wikitext2_awd_lstm": Published(750, 68.7, 65.6, "Merity, Keskar and Socher (2018), the repository, not finetuned"),
}


class Curve(NamedTuple):
    """A recipe's runs: their figures, and of each after how many epochs it was validated, with the perplexity there.

    A run that was bounded by time ends within an epoch.
    """

    recipe: str
    runs: list[dict[str, Any]]
    points: list[list[tuple[float, float]]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where `reproduce.py` kept its figures")
    folder = parser.parse_args(arguments).results
    curves = [curve for name in PUBLISHED if (curve := read_curve(folder, name))]
    if not curves:
        raise SystemExit(
            f"{folder / 'curves'}: expected the course of one of {', '.join(PUBLISHED)}; found none: run "
            "`python scripts/reproduce.py configs/language_modeling/ptb_medium.yaml`, say, before"
        )
    figure, panels = new_figure(len(curves))
    for panel, curve in zip(panels, curves, strict=True):
        draw(panel, curve)
    print(save_figure(figure, folder / "curves" / "curves.png"))
    report = folder / "curves" / "curves.md"
    report.write_text(format_report(curves), "utf-8")
    print(report)
    return 0


def read_curve(folder: Path, name: str) -> Curve | None:
    """Returns what is kept of a recipe; None if that is nothing."""
    figures, course = folder / f"language_modeling_{name}.json", folder / "curves" / f"language_modeling_{name}.csv"
    if not (figures.exists() and course.exists()):
        return None
    points: dict[str, list[tuple[float, float]]] = {}
    steps: dict[str, int] = {}  # of an epoch
    with course.open(encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened):
            step = int(row["step"]) + 1
            epochs = step / steps.setdefault(row["seed"], step)
            points.setdefault(row["seed"], []).append((round(epochs, 2), float(row[SCORE])))
    runs = [run for run in json.loads(figures.read_text("utf-8"))["runs"] if str(run["seed"]) in points]
    return Curve(name, runs, [points[str(run["seed"])] for run in runs])


def draw(panel: Axes, curve: Curve) -> None:
    """Draws a recipe's runs, and the end of the published one as a star with a line at its height."""
    published = PUBLISHED[curve.recipe]
    for number, (run, points) in enumerate(zip(curve.runs, curve.points, strict=True)):
        panel.plot(*zip(*points, strict=True), **style(number), label=f"seed {run['seed']}, {hours(run)} h")
    panel.axhline(published.validation, color="0.4", linewidth=1, linestyle=(0, (5, 3)))
    label = f"published end: {published.validation} after {published.epochs} epochs"
    panel.plot(
        published.epochs, published.validation, color="0.2", marker="*", markersize=11, linestyle="none", label=label
    )
    panel.set(xscale="log", yscale="log", title=curve.recipe, xlabel="epochs", ylabel="validation perplexity")
    scores = [published.validation, *(score for points in curve.points for _, score in points)]
    steps = (40, 50, 60, 70, 80, 100, 150, 200, 300, 500, 800, 1200)
    ticks = [value for value in steps if 0.85 * min(scores) <= value <= 1.2 * max(scores)]
    panel.set_yticks(ticks, [str(value) for value in ticks])
    panel.minorticks_off()
    epochs = [value for value in (1, 2, 5, 10, 20, 50, 100, 200, 500) if value <= published.epochs]
    panel.set_xticks(epochs, [str(value) for value in epochs])
    panel.legend(frameon=False, fontsize=8)


def format_report(curves: Sequence[Curve]) -> str:
    """Returns the table of epochs and of ends, as Markdown."""
    longest = max(points[-1][0] for curve in curves for points in curve.points)
    some = (1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 30, 40, 100, 200, 500)
    shown = [epoch for epoch in some if epoch <= longest]
    rows = []
    for curve in curves:
        published = PUBLISHED[curve.recipe]
        for run, points in zip(curve.runs, curve.points, strict=True):
            scores = dict(points)
            rows.append(
                [
                    f"{curve.recipe}, seed {run['seed']}",
                    *(f"{scores[epoch]:.1f}" if epoch in scores else "–" for epoch in shown),
                    f"{points[-1][1]:.1f} after {points[-1][0]:g}",
                    hours(run),
                    f"{run['test_perplexity']:.1f}",
                    f"{published.validation} / {published.test} after {published.epochs}",
                ]
            )
    header = ["recipe", *(f"epoch {epoch}" for epoch in shown), "at the end", "hours", "test, of its best epoch"]
    header += ["published: validation / test after epochs"]
    machines = dict.fromkeys(run["machine"] for curve in curves for run in curve.runs)
    sources = "\n".join(f"- {curve.recipe}: {PUBLISHED[curve.recipe].source}{started(curve)}." for curve in curves)
    return (
        "# The course of long trainings\n\n"
        f"Validation perplexity after each epoch. Measured on {'; '.join(machines)}.\n\n"
        f"{markdown_table(header, rows)}\n\n"
        "![Validation perplexity by epoch, and where the published trainings ended](curves.png)\n\n"
        "What was published is where trainings ended, not how they went:\n\n"
        f"{sources}\n\n"
        "`python scripts/reproduce.py` trains the recipes, and `python scripts/training_curves.py` makes this page.\n"
    )


def started(curve: Curve) -> str:
    """Returns what was typed beside the recipe."""
    options = dict.fromkeys(option for run in curve.runs for option in run.get("options", []))
    return f"; run here with {', '.join(f'`{option}`' for option in options)}" if options else ""


def hours(run: dict[str, Any]) -> str:
    return f"{run['fit_seconds'] / 3600:.1f}"


if __name__ == "__main__":
    sys.exit(main())
