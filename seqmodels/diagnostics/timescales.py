"""What the forget gates of a trained encoder do: how long its units remember."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqmodels.diagnostics.figures import markdown_table, new_figure, save_figure, style
from seqmodels.masking import lengths_to_mask, zero_beyond

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLOSED, OPEN = 0.1, 0.9


@dataclass(frozen=True)
class Timescales:
    """The forget gates f of one layer and direction, on given inputs.

    Attributes:
        layer: its name.
        time_constants: of each unit, tau = -1 / mean(ln f) in steps: what a unit holds fades to 1/e in so many.
        memory_lengths: of each unit, the mean number of steps until the product of f falls below 1/e, from each step of
            the first half of the rows; counted up to the row's end where it does not fall.
        cut_short: the fraction of those counts that met the row's end.
        closed: the fraction of gates below 0.1, which forget at once.
        open: the fraction above 0.9.
        steps: the mean length of the rows.
    """

    layer: str
    time_constants: list[float]
    memory_lengths: list[float]
    cut_short: float
    closed: float
    open: float
    steps: float


def timescales_of(layer: str, log_forget: Tensor, lengths: Tensor) -> Timescales:
    """Computes the time scales of one layer.

    Args:
        layer: its name.
        log_forget: ln f (batch, time, hidden).
        lengths: (batch,) int64, each row's real steps; those without any are left out.
    """
    log_forget, lengths = log_forget[lengths > 0].double(), lengths[lengths > 0]
    log_forget = zero_beyond(log_forget, lengths)
    real = int(lengths.sum())
    constants = -real / log_forget.sum((0, 1)).clamp(max=-1e-12)  # (hidden,)
    held, cut = _held_steps(log_forget, lengths)
    gates = log_forget[lengths_to_mask(lengths, log_forget.size(1))]  # (real steps, hidden)
    return Timescales(
        layer,
        time_constants=constants.tolist(),
        memory_lengths=held.tolist(),
        cut_short=cut,
        closed=float((gates < math.log(CLOSED)).double().mean()),
        open=float((gates > math.log(OPEN)).double().mean()),
        steps=real / len(lengths),
    )


def _held_steps(log_forget: Tensor, lengths: Tensor) -> tuple[Tensor, float]:
    """Returns how long each unit (hidden,) holds what it has, in steps, and the fraction that was cut short."""
    batch, time, hidden = log_forget.shape
    faded = -log_forget.cumsum(1).transpose(1, 2).contiguous()  # (batch, hidden, time), never falling
    before = faded + log_forget.transpose(1, 2)  # up to the step before
    # the first step at which the product of the gates from `start` on is below 1/e; `time` if there is none
    fallen = torch.searchsorted(faded, (before + 1).contiguous(), right=True)
    starts = torch.arange(time)
    ends = lengths.view(batch, 1, 1)
    cut = fallen >= ends
    held = torch.where(cut, ends, fallen) - starts
    counted = (starts < (lengths.unsqueeze(1) + 1) // 2).unsqueeze(1).expand(batch, hidden, time)
    steps = (held * counted).sum((0, 2)) / counted.sum((0, 2))
    return steps, float((cut & counted).sum() / counted.sum())


def bias_for(steps: float) -> float:
    """Returns the bias b for which a gate that sees nothing else fades to 1/e in `steps`: sigmoid(b) = e^(-1/steps)."""
    return -math.log(math.expm1(1 / steps))


def recommend(scales: Timescales, wanted: int) -> str:
    """Returns what to do about the forget biases, for dependencies of `wanted` steps, as a sentence or two.

    Where fewer than a twentieth of the units last half as long as wanted, biases are too small; where nearly all last
    more than ten times as long, they are too large.

    Reference:
        Tallec and Ollivier, Can recurrent neural networks warp time?, 2018; Mahto et al., Multi-timescale
        representation learning in LSTM language models, 2021.
    """
    constants = torch.tensor(scales.time_constants)
    long = float((constants >= wanted / 2).double().mean())
    longest = float(constants.max())
    chrono = f"chrono initialisation, b = ln u with u uniform in [1, {max(wanted - 1, 2)}]"
    if long < 0.05:
        return (
            f"Its longest unit lasts {longest:.0f} steps, {100 * long:.0f}% of the units at least half of the {wanted} "
            f"that are wanted: start with {chrono}, or with a forget bias of {bias_for(wanted):.1f} for all units."
        )
    if long > 0.95 and float(constants.min()) > 10 * wanted:
        return (
            f"Even its shortest unit lasts {float(constants.min()):.0f} steps, where {wanted} are wanted: nothing is "
            f"forgotten; start with {chrono}, or with a forget bias of {bias_for(wanted):.1f}."
        )
    return (
        f"{100 * long:.0f}% of the units last at least half of the {wanted} steps that are wanted, the longest "
        f"{longest:.0f}: the biases need no change."
    )


def plot_timescales(found: Sequence[Timescales], wanted: int) -> Figure:
    """Draws the time constants and the memory lengths of the units, sorted, with the length that is wanted.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    figure, panels = new_figure(2, width=4.6)
    for number, scales in enumerate(found):
        for panel, values in zip(panels, (scales.time_constants, scales.memory_lengths), strict=True):
            ranked = sorted((max(value, 0.1) for value in values), reverse=True)  # the axis has no 0
            shares = [100 * (place + 1) / len(ranked) for place in range(len(ranked))]
            marks = max(1, len(ranked) // 8)
            panel.plot(shares, ranked, label=scales.layer, markevery=marks, **style(number))
    for panel, label in zip(panels, ("time constant (steps)", "effective memory length (steps)"), strict=True):
        panel.set_yscale("log")
        panel.set_xlabel("units that last at least so long (%)")
        panel.set_ylabel(label)
        panel.axhline(wanted, color="black", linestyle=":", linewidth=1, label=f"wanted: {wanted} steps")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(4, len(labels)),
        fontsize=8,
        frameon=False,
        handlelength=3.5,
    )
    return figure


def write_timescale_report(
    found: Sequence[Timescales], wanted: int, source: Mapping[str, str], folder: Path
) -> list[Path]:
    """Writes `timescales.md`, `timescales.json` and `timescales.png`; returns their paths.

    Args:
        found: the layers.
        wanted: the steps that memory should last.
        source: what was measured, by name: the checkpoint, the inputs.
        folder: where to.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    figure = save_figure(plot_timescales(found, wanted), folder / "timescales.png")
    report, data = folder / "timescales.md", folder / "timescales.json"
    text = ["# How long the units remember\n", *(f"- {name}: {value}" for name, value in source.items())]
    text += ["", timescale_table(found), ""]
    text += [f"**{scales.layer}**: {recommend(scales, wanted)}\n" for scales in found]
    text += [
        "The time constant of a unit is -1 / mean(ln f), its memory length the steps until the product of its forget "
        "gates falls below 1/e; those that met the end of a row count up to there.\n",
        "![Time constants and memory lengths of the units](timescales.png)\n",
    ]
    report.write_text("\n".join(text), encoding="utf-8")
    data.write_text(json.dumps({**source, "layers": [asdict(scales) for scales in found]}, indent=1), encoding="utf-8")
    return [report, data, figure]


def timescale_table(found: Sequence[Timescales]) -> str:
    """Returns a row for each layer: quantiles of the time constants, memory length, saturation."""
    rows = []
    for scales in found:
        constants = torch.tensor(scales.time_constants)
        low, middle, high = (f"{float(constants.quantile(share)):.1f}" for share in (0.1, 0.5, 0.9))
        memory = f"{float(torch.tensor(scales.memory_lengths).median()):.1f}"
        shares = (f"{100 * value:.0f}%" for value in (scales.cut_short, scales.closed, scales.open))
        rows.append((scales.layer, low, middle, high, f"{float(constants.max()):.0f}", memory, *shares))
    header = (
        *("layer", "tau 10%", "tau median", "tau 90%", "tau max"),
        *("memory median", "cut short", "f < 0.1", "f > 0.9"),
    )
    return markdown_table(header, rows)
