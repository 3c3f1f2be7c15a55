"""Measures how the cost of every registered encoder grows with the number of steps, and draws time and peak memory.

    python scripts/benchmark_lengths.py                 # all, 1,024 to 65,536 steps: about 15 minutes on an idle core
    python scripts/benchmark_lengths.py --encoders mingru lstm --lengths 1024 2048 --output /tmp/lengths
    python scripts/benchmark_lengths.py --report-only   # the report again, from the figures that are there

A step of training is forward and backward of one row with 256 features in and out. Each encoder and length has a
process of its own, which warms up on 16 steps; the median of as many training steps as a second holds counts, of one
at least. Memory is the peak of that process above what it held before its inputs. A process that takes longer than
`--limit` is ended, and its encoder tries no greater length. `results/recurrences/` gets `lengths.json`, `lengths.md`
and `lengths.png`; what `lengths.json` holds is not measured again, so a run that was broken off goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from seqmodels.diagnostics.figures import markdown_table, new_figure, save_figure, style
from seqmodels.encoders import Cell, create_encoder, encoder_registry, list_encoders

ROOT = Path(__file__).parent.parent
SIZE = 256
LENGTHS = (1024, 4096, 16384, 65536)
WARM_UP = 16  # steps: what a longer one frees would hide what the measured one takes
ENOUGH = 1.0  # seconds of measured steps
# What wrappers wrap. A pretrained encoder reads no more steps than its model has positions for.
WRAPPED: dict[str, dict[str, Any]] = {
    "bidirectional": {"layer": {"name": "mingru", "hidden_size": SIZE}},
    "stacked": {"layers": [{"name": "mingru", "hidden_size": SIZE}] * 2},
    "variational_dropout": {"cell": {"name": "lstm_cell", "hidden_size": SIZE}},
    "zoneout": {"cell": {"name": "lstm_cell", "hidden_size": SIZE}},
}
SPECS = {
    name: {"name": name, **WRAPPED.get(name, {"hidden_size": SIZE})} for name in list_encoders() if name != "pretrained"
}
AT_ONCE, STEPWISE = "whole sequences", "cells, step by step"
Point = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    if given.single:
        print(json.dumps(measure(given.single, given.lengths[0], given.device)))
        return 0
    path = given.output / "lengths.json"
    record = read_record(path, given.device)
    if not given.report_only:
        run_grid(record, given, path)
    for written in write_report(record, given.output):
        print(written)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", default=list(SPECS), choices=SPECS, metavar="NAME")
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS), help="steps")
    parser.add_argument("--limit", type=float, default=90.0, help="seconds for a process, its start included")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "recurrences", help="folder of the report")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    parser.add_argument("--single", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    for steps in given.lengths:
        if steps < 1:
            parser.error(f"--lengths must be at least 1, got {steps}")
    return given


def measure(name: str, steps: int, device: str) -> Point:
    """Returns the seconds and the peak memory, in MiB, of a training step of one encoder."""
    encoder = create_encoder(SPECS[name], SIZE).to(device)
    training_seconds(encoder, torch.randn(1, min(steps, WARM_UP), SIZE, device=device))
    held = start_peak(device)
    inputs = torch.randn(1, steps, SIZE, device=device, requires_grad=True)
    times: list[float] = []
    while sum(times) < ENOUGH:
        times.append(training_seconds(encoder, inputs))
    return {"seconds": statistics.median(times), "peak_mib": max(peak(device) - held, 0.0)}


def training_seconds(encoder: torch.nn.Module, inputs: torch.Tensor) -> float:
    """Returns the seconds of a forward and a backward pass."""
    lengths = torch.full((inputs.size(0),), inputs.size(1), device=inputs.device)
    begin = time.perf_counter()
    encoder(inputs, lengths)[0].sum().backward()
    if inputs.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def start_peak(device: str) -> float:
    """Returns the MiB that are held, and lets the peak be that from now on, where the system can."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return resident("VmRSS")


def peak(device: str) -> float:
    """Returns the most MiB that were held since `start_peak`; NaN on a CPU off Linux."""
    return resident("VmHWM") if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20


def resident(name: str) -> float:
    """Returns a line of this process's memory status, `VmRSS` now or `VmHWM` at its peak, in MiB; NaN off Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), math.nan)


def read_record(path: Path, device: str) -> dict[str, Any]:
    """Returns what is measured already; figures of another machine are refused, as they would not fit into one plot."""
    from seqmodels.callbacks.run_report import machine  # Lightning: six seconds that the processes would pay too

    settings = {"machine": machine(), "device": device, "rows": 1, "features": SIZE}
    found = json.loads(path.read_text()) if path.exists() else {**settings, "points": []}
    for key, value in settings.items():
        if found[key] != value:
            raise SystemExit(
                f"{path}: expected figures of {key} {value}, found {found[key]}; give another folder by --output"
            )
    return found


def run_grid(record: dict[str, Any], given: argparse.Namespace, path: Path) -> None:
    """Measures what the record does not hold yet, the short lengths first, and writes it after each point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    points = {(point["encoder"], point["steps"]): point for point in record["points"]}
    for name in given.encoders:
        for steps in sorted(set(given.lengths)):
            point = points.get((name, steps))
            if point is None or point.get("limit", math.inf) < given.limit:
                point = run_single(name, steps, given)
                points[name, steps] = point
                record["points"] = [points[key] for key in sorted(points)]
                path.write_text(json.dumps(record, indent=1) + "\n")
            print(f"{name}, {steps} steps: {describe(point)}", flush=True)
            if "seconds" not in point:
                break


def run_single(name: str, steps: int, given: argparse.Namespace) -> Point:
    """Returns what a process of its own measures, or why there is nothing."""
    command = [sys.executable, __file__, "--single", name, "--lengths", str(steps), "--device", given.device]
    point: Point = {"encoder": name, "steps": steps}
    try:
        done = run_command(command, given.limit)
    except subprocess.TimeoutExpired:
        return {**point, "limit": given.limit, "stopped": f"> {given.limit:g} s"}
    if done.returncode < 0:  # most likely killed for want of memory
        return {**point, "limit": given.limit, "stopped": f"killed by signal {-done.returncode}"}
    if done.returncode > 0:
        raise SystemExit(f"{name}, {steps} steps: {done.stderr.strip()}")
    return {**point, **json.loads(done.stdout.splitlines()[-1])}


def run_command(command: Sequence[str], limit: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=limit)


def describe(point: Point) -> str:
    if "seconds" not in point:
        return point["stopped"]
    return f"{1000 * point['seconds']:.1f} ms, {point['peak_mib']:.0f} MiB"


def by_encoder(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Returns the points that were measured of each encoder, by length; the order is that of the registry."""
    found: dict[str, list[Point]] = {name: [] for name in SPECS}
    for point in points:
        if "seconds" in point and point["encoder"] in found:
            found[point["encoder"]].append(point)
    return {name: sorted(runs, key=lambda point: point["steps"]) for name, runs in found.items() if runs}


def slope(runs: Sequence[Point], quantity: str) -> float:
    """Returns the exponent of the growth: the slope of a straight line through log quantity by log steps.

    1 is linear, 2 quadratic; NaN of fewer than two lengths.
    """
    pairs = [(math.log(point["steps"]), math.log(point[quantity])) for point in runs if point[quantity] > 0]
    if len(pairs) < 2:
        return math.nan
    return statistics.linear_regression(*zip(*pairs, strict=True)).slope


def family(name: str) -> str:
    return STEPWISE if issubclass(encoder_registry.get(name), Cell) else AT_ONCE


def format_table(points: Sequence[Point]) -> str:
    """Returns a row for each encoder: milliseconds at each length, the slopes, and the cost of the longest."""
    lengths = sorted({point["steps"] for point in points})
    stopped = {(point["encoder"], point["steps"]): point["stopped"] for point in points if "stopped" in point}
    measured = by_encoder(points)
    names = sorted(measured, key=lambda name: (family(name) == STEPWISE, name))
    rows = []
    for name in names:
        runs = measured[name]
        times = {point["steps"]: f"{1000 * point['seconds']:,.1f}" for point in runs}
        last = runs[-1]
        rows.append(
            [
                name,
                family(name),
                *(times.get(steps, stopped.get((name, steps), "–")) for steps in lengths),
                f"{slope(runs, 'seconds'):.2f}",
                f"{1e6 * last['seconds'] / last['steps']:,.1f}",
                f"{last['peak_mib']:,.0f}",
                f"{slope(runs, 'peak_mib'):.2f}",
            ]
        )
    header = ["encoder", "reads", *(f"{steps:,} steps (ms)" for steps in lengths), "slope of time"]
    header += ["µs a step at its longest", "peak memory there (MiB)", "slope of memory"]
    return markdown_table(header, rows)


def write_report(record: dict[str, Any], folder: Path) -> list[Path]:
    """Writes `lengths.md` and `lengths.png`; returns their paths and that of the figures."""
    points = record["points"]
    if not by_encoder(points):
        raise SystemExit(f"{folder}: nothing has been measured yet; leave out --report-only")
    folder.mkdir(parents=True, exist_ok=True)
    picture = save_figure(plot(points), folder / "lengths.png")
    wrapped = "; ".join(
        f"`{name}` around {', '.join(inner_names(arguments))}" for name, arguments in sorted(WRAPPED.items())
    )
    text = (
        "# What a longer sequence costs\n\n"
        f"A training step (forward and backward) of {record['rows']} row with {record['features']} features in and "
        f"out: {wrapped}. Measured on {record['machine']}, each encoder and length in a process of its own. Memory is "
        "the peak above what the process held before. The slopes are those of a straight line through the logarithms: "
        "1 is linear, 2 quadratic. `>` is a process that was ended for its time; greater lengths of that encoder were "
        "not tried.\n\n"
        f"{format_table(points)}\n\n"
        "![Time of a training step and its peak memory by the number of steps](lengths.png)\n\n"
        "`python scripts/benchmark_lengths.py` measures it.\n"
    )
    (folder / "lengths.md").write_text(text, encoding="utf-8")
    return [folder / "lengths.json", folder / "lengths.md", picture]


def inner_names(arguments: dict[str, Any]) -> list[str]:
    inner = [entry for value in arguments.values() for entry in (value if isinstance(value, list) else [value])]
    return [f"`{spec['name']}`" for spec in inner]


def plot(points: Sequence[Point]) -> Any:
    """Draws time and memory by length, both logarithmic; a row of panels for whole sequences, another for cells."""
    measured = by_encoder(points)
    families = [kind for kind in (AT_ONCE, STEPWISE) if any(family(name) == kind for name in measured)]
    figure, panels = new_figure(2, width=4.4, height=4.2, rows=len(families))
    for row, kind in enumerate(families):
        runs_of = {name: runs for name, runs in measured.items() if family(name) == kind}
        # The legend is in the order of the lines' ends: the most time on top.
        names = sorted(runs_of, key=lambda name: -runs_of[name][-1]["seconds"] / runs_of[name][-1]["steps"])
        for panel, quantity in zip(panels[2 * row : 2 * row + 2], ("seconds", "peak_mib"), strict=True):
            for number, name in enumerate(names):
                steps = [point["steps"] for point in runs_of[name]]
                panel.plot(steps, [point[quantity] for point in runs_of[name]], label=name, **style(number))
            draw_linear(panel, [runs_of[name] for name in names], quantity)
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
            ticks = sorted({point["steps"] for point in points})
            panel.set_xticks(ticks, [f"{steps:,}" for steps in ticks], fontsize=8)
            panel.minorticks_off()
            panel.set_xlabel("length (steps)")
        panels[2 * row].set_ylabel("time of a training step (s)")
        panels[2 * row + 1].set_ylabel("peak memory (MiB)")
        panels[2 * row].set_title(kind, fontsize=10, loc="left")
        panels[2 * row + 1].legend(
            loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize=8, frameon=False, handlelength=4
        )
    return figure


def draw_linear(panel: Any, encoders: Sequence[Sequence[Point]], quantity: str) -> None:
    """Draws what linear growth looks like, from the middle of where the encoders begin."""
    firsts = [runs[0] for runs in encoders if runs[0][quantity] > 0]
    if not firsts:
        return
    begin, end = (choose(point["steps"] for runs in encoders for point in runs) for choose in (min, max))
    level = statistics.geometric_mean(point[quantity] * begin / point["steps"] for point in firsts)
    panel.plot((begin, end), (level, level * end / begin), color="0.6", linewidth=3, zorder=0, label="slope 1 (linear)")


if __name__ == "__main__":
    sys.exit(main())
