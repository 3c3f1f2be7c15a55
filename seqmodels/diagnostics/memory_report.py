"""What a grid of memory tasks showed: a table, a report in Markdown, and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

from seqmodels.diagnostics.figures import markdown_table, new_figure, save_figure, style
from seqmodels.diagnostics.memory_grid import Record, by_cell, solved_length, spec_name, tried_length
from seqmodels.diagnostics.solve import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = ("task", "encoder", "length", "solved", "steps to solve", "best score", "chance", "seconds")


def memory_table(records: Sequence[Record]) -> str:
    """Returns a row for each task, encoder and length; means over seeds, and the median of the steps to solve."""
    rows = []
    for (task, encoder, length), runs in by_cell(records):
        solved = [run["steps"] for run in runs if run["solved"]]
        steps = f"{median(solved):.0f}" if solved else f"> {max(run['steps'] for run in runs)}"
        best = f"{mean(run['best'] for run in runs):.4f}"
        seconds = f"{mean(run['seconds'] for run in runs):.0f}"
        share = f"{len(solved)} of {len(runs)}" if len(runs) > 1 else "yes" if solved else "no"
        rows.append((task, encoder, length, share, steps, best, f"{runs[0]['chance']:.4f}", seconds))
    return markdown_table(HEADER, rows)


def write_memory_report(records: Sequence[Record], folder: Path) -> list[Path]:
    """Writes `memory.md`, `memory.json`, `solved_length.png` and `learning_curves.png`; returns their paths.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = [
        save_figure(plot_solved_length(records), folder / "solved_length.png"),
        save_figure(plot_curves(records), folder / "learning_curves.png"),
    ]
    report, data = folder / "memory.md", folder / "memory.json"
    report.write_text(_report(records), encoding="utf-8")
    data.write_text(json.dumps(list(records), indent=1), encoding="utf-8")
    return [report, data, *figures]


def plot_solved_length(records: Sequence[Record]) -> Figure:
    """Draws the longest length that each encoder solved, a panel for each task, and the longest that it tried."""
    longest, tried = solved_length(records), tried_length(records)
    tasks = list(dict.fromkeys(task for task, _ in longest))
    columns = min(3, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    encoders = list(dict.fromkeys(encoder for _, encoder in longest))
    figure, panels = new_figure(columns, width=3.6, height=0.9 + 0.32 * len(encoders), rows=rows)
    for place, (panel, task) in enumerate(zip(panels, tasks, strict=False)):
        names = [encoder for encoder in encoders if (task, encoder) in longest]
        values = [longest[task, encoder] for encoder in names]
        bars = panel.barh(names, values, color="0.55", edgecolor="black", linewidth=0.6, height=0.6)
        panel.bar_label(bars, [str(value) if value else "none" for value in values], padding=3, fontsize=8)
        ends = [tried[task, encoder] for encoder in names]
        panel.scatter(ends, names, color="black", marker="|", s=60, linewidths=1, label="longest tried", zorder=3)
        panel.set_xlim(0, 1.18 * max(ends))
        panel.set_title(task, fontsize=10)
        panel.set_xlabel("longest length solved (steps)")
        panel.set_ylim(len(encoders) - 0.5, -0.5)  # bars of one height, where some encoders tried other tasks
        panel.locator_params(axis="x", integer=True)
        panel.grid(False, axis="y")
        if place == 0:
            figure.legend(*panel.get_legend_handles_labels(), loc="outside lower right", fontsize=8, frameon=False)
    for panel in panels[len(tasks) :]:
        panel.set_visible(False)
    return figure


def plot_curves(records: Sequence[Record]) -> Figure:
    """Draws the held-out score by training steps, a panel for each task, with chance.

    A panel is of the length that the most encoders ran, the longest of these.
    """
    tasks = list(dict.fromkeys(spec_name(record["task"]) for record in records))
    encoders = list(dict.fromkeys(spec_name(record["encoder"]) for record in records))
    columns = min(3, len(tasks))
    figure, panels = new_figure(columns, width=4.0, height=3.1, rows=math.ceil(len(tasks) / columns))
    for panel, task in zip(panels, tasks, strict=False):
        runs = [record for record in records if spec_name(record["task"]) == task]
        length = _shared_length(runs)
        runs = [record for record in runs if record["length"] == length]
        for run in runs:
            number = encoders.index(spec_name(run["encoder"]))
            steps, scores = zip(*run["curve"], strict=True) if run["curve"] else ((), ())
            marks = max(1, len(steps) // 8)
            panel.plot(steps, scores, label=encoders[number], markevery=marks, **style(number))
        panel.axhline(runs[0]["chance"], color="0.4", linewidth=1, linestyle=(0, (6, 3)), label="chance")
        panel.axhline(runs[0]["bound"], color="black", linewidth=0.8, linestyle=":", label="solved")
        panel.set_title(f"{task}, length {length}", fontsize=10)
        panel.set_xlabel("training steps")
        panel.locator_params(axis="x", integer=True)
        panel.set_ylabel(runs[0]["measure"])
    for panel in panels[len(tasks) :]:
        panel.set_visible(False)
    labelled = {
        label: handle
        for panel in panels
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)  # each encoder once
    }
    figure.legend(
        labelled.values(),
        labelled.keys(),
        loc="outside lower center",
        ncols=min(6, len(labelled)),
        fontsize=8,
        frameon=False,
        handlelength=3.5,
    )
    return figure


def _shared_length(runs: Sequence[Record]) -> int:
    """Returns the length that the most encoders ran; the longest where several are that."""
    encoders: dict[int, set[str]] = {}
    for run in runs:
        encoders.setdefault(run["length"], set()).add(spec_name(run["encoder"]))
    return max(encoders, key=lambda length: (len(encoders[length]), length))


def _report(records: Sequence[Record]) -> str:
    lines = _measures(records)
    return (
        "# What the encoders remember\n\n"
        + "\n\n".join(_settings(records))
        + "\n\n"
        + "\n".join(lines)
        + f"\n\n{memory_table(records)}\n\n"
        "![The longest length that each encoder solved](solved_length.png)\n\n"
        "![Held-out score while training, at the longest length that most encoders ran](learning_curves.png)\n"
    )


def _measures(records: Sequence[Record]) -> list[str]:
    """Returns what is measured of each task, and when it is solved: at each length, where that depends on it."""
    bounds: dict[tuple[str, str], dict[int, float]] = {}
    for record in records:
        bounds.setdefault((spec_name(record["task"]), record["measure"]), {})[record["length"]] = record["bound"]
    lines = []
    for (task, measure), by_length in bounds.items():
        solved = [f"{bound:.4g}" for bound in by_length.values()]
        if len(set(solved)) > 1:
            solved = [f"{bound} (length {length})" for bound, length in zip(solved, by_length, strict=True)]
        lines.append(f"- {task}: {measure}, solved at {', '.join(dict.fromkeys(solved))}")
    return lines


def _settings(records: Sequence[Record]) -> list[str]:
    """Returns how the encoders were trained, a paragraph for each way; of several, each says for what."""
    ways: dict[str, list[Record]] = {}
    for record in records:
        ways.setdefault(json.dumps(record["training"], sort_keys=True), []).append(record)
    if len(ways) == 1:
        return [_setting(records)]
    return [f"{_covered(runs)}: {_setting(runs)}" for runs in ways.values()]


def _covered(runs: Sequence[Record]) -> str:
    """Returns tasks and, in brackets, the encoders that tried them."""
    encoders: dict[str, dict[str, None]] = {}
    for (task, encoder, _), _ in by_cell(runs):
        encoders.setdefault(task, {})[encoder] = None
    tasks: dict[str, list[str]] = {}
    for task, names in encoders.items():
        tasks.setdefault(", ".join(names), []).append(task)
    return "; ".join(f"{', '.join(named)} ({names})" for names, named in tasks.items())


def _setting(runs: Sequence[Record]) -> str:
    training = Training(**runs[0]["training"])
    seeds = sorted({run["seed"] for run in runs})
    budget = f"{training.max_steps} steps of {training.batch_size} examples"
    if training.max_seconds is not None:
        budget += f" or {training.max_seconds:g} seconds"
    return (
        f"Each encoder ({training.hidden_size} features where it says nothing else) with a linear head, Adam at "
        f"{training.learning_rate:g}, gradient norm clipped to {training.clip:g}; {budget} at the most; "
        f"initialisation of gates: {training.initialization}; "
        f"seeds {', '.join(map(str, seeds))}. Scores are of {training.held_out} fresh examples."
    )
