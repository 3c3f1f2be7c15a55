"""The figures of the laboratory: one size of type, lines that differ in grey too, files as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqmodels.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours of even steps in lightness, so that they stay apart in grey (after viridis and cividis).
_COLOURS = ("#00204d", "#a01a58", "#5c7a29", "#2f7fb8", "#d1842c", "#7f7f7f", "#00a08a", "#b39ddb")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "d", "p", "8", "x", "+")
_LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2, 1, 2)))


def new_figure(
    columns: int = 1, *, width: float = 5.2, height: float = 3.8, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """Returns an empty figure and its panels, row by row.

    Args:
        columns: panels beside one another.
        width: of a panel, in inches.
        height: of a panel, in inches.
        rows: panels below one another.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError("the laboratory's figures need matplotlib: pip install seqmodels[plots]") from error
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    panels = [figure.add_subplot(rows, columns, place + 1) for place in range(rows * columns)]
    for panel in panels:
        panel.grid(True, which="major", color="0.88", linewidth=0.7)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def style(number: int) -> dict[str, Any]:
    """Returns how the line with this number is drawn: it differs from its neighbours in grey too."""
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": _LINES[(number + number // len(_COLOURS)) % len(_LINES)],
        "markersize": 4.5,
        "markerfacecolor": "white" if number % 2 else _COLOURS[number % len(_COLOURS)],
        "linewidth": 1.4,
    }


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure as a PNG of 200 dots an inch and returns its path; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)
    return path


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a table in Markdown whose columns are aligned in plain text too."""
    cells = [list(map(str, header)), *(list(map(str, row)) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
