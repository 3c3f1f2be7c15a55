"""The confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from seqmodels.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS_LIMIT = 40
"""Up to how many classes the counts are written into the cells."""


def plot_confusion_matrix(matrix: Tensor, names: Sequence[str], max_classes: int = 60) -> Figure:
    """Draws a confusion matrix: gold labels down, predicted ones across, darker for a greater share of the gold label.

    Args:
        matrix: (gold label, predicted label), counts.
        names: the name of each label.
        max_classes: of more classes, only those most frequent in gold are drawn.

    Returns:
        A figure of its own, not one of pyplot's: nothing has to be closed.

    Raises:
        ConfigurationError: matplotlib is not installed, or names and matrix are of different sizes.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError(
            "the confusion matrix's picture needs matplotlib: pip install seqmodels[plots]"
        ) from error
    if tuple(matrix.shape) != (len(names), len(names)):
        raise ConfigurationError(
            f"a confusion matrix of {len(names)} names must be {len(names)} x {len(names)}, got {tuple(matrix.shape)}"
        )
    counts = matrix.detach().cpu()
    shares = counts.double() / counts.sum(1, keepdim=True).clamp(min=1)
    total = len(names)
    if total > max_classes:
        kept = counts.sum(1).argsort(descending=True, stable=True)[:max_classes].sort().values
        counts, shares = counts[kept][:, kept], shares[kept][:, kept]
        names = [names[index] for index in kept.tolist()]

    side = min(18.0, 2.6 + 0.42 * len(names))  # inches
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(shares.numpy(), cmap="Greys", vmin=0, vmax=1)
    size = 9 if len(names) <= NUMBERS_LIMIT else 7
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("gold")
    if total > max_classes:
        axes.set_title(f"the {max_classes} most frequent of {total} labels", fontsize=10)
    figure.colorbar(picture, ax=axes, label="share of the gold label", shrink=0.8)
    if len(names) <= NUMBERS_LIMIT:
        for row, cells in enumerate(counts.tolist()):
            for column, count in enumerate(cells):
                if count:
                    colour = "white" if shares[row, column] > 0.5 else "black"
                    axes.text(column, row, _short(count), ha="center", va="center", fontsize=7, color=colour)
    return figure


def _short(count: int) -> str:
    """Writes a count in at most four characters or so: 950, 9.5k, 95k, 2.1M."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{count / unit:.1f}{name}" if count < 10 * unit else f"{count // unit}{name}"
    return str(count)
