"""Where a decoder looked, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from seqmodels.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_attention(
    attention: Tensor, source_tokens: Sequence[str], tokens: Sequence[str], *, max_tokens: int = 80
) -> Figure:
    """Draws attention: the source across, what was written down, darker for more; the place with most has a dot.

    Args:
        attention: (tokens, source tokens), each row of sum 1.
        source_tokens: what was read.
        tokens: what was written.
        max_tokens: of longer ones, only so many are drawn on either side.

    Returns:
        A figure of its own, not one of pyplot's: nothing has to be closed.

    Raises:
        ConfigurationError: matplotlib is not installed, or attention and tokens are of different sizes, or empty.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError("the attention's picture needs matplotlib: pip install seqmodels[plots]") from error
    expected = (len(tokens), len(source_tokens))
    if tuple(attention.shape) != expected or 0 in expected:
        raise ConfigurationError(
            f"attention of {expected[0]} tokens to {expected[1]} source tokens must be {expected[0]} x {expected[1]}, "
            f"at least 1 x 1, got {tuple(attention.shape)}"
        )
    shown = attention.detach().cpu().float()[:max_tokens, :max_tokens]
    rows, columns = shown.shape
    labels = max(map(len, [*source_tokens[:columns], *tokens[:rows]])) * 0.08  # inches
    figure = Figure(figsize=(2.0 + labels + 0.28 * columns, 1.2 + labels + 0.28 * rows), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(shown.numpy(), cmap="Greys", vmin=0, vmax=1, aspect="auto")
    best = shown.argmax(1).tolist()
    colours = ["white" if shown[row, column] > 0.5 else "black" for row, column in enumerate(best)]
    axes.scatter(best, range(rows), s=9, c=colours)
    axes.set_xticks(range(columns), _plain(source_tokens[:columns]), rotation=90, fontsize=9)
    axes.set_yticks(range(rows), _plain(tokens[:rows]), fontsize=9)
    axes.set_xlabel("source")
    axes.set_ylabel("translation")
    if shown.shape != attention.shape:
        axes.set_title(f"{rows} of {len(tokens)} tokens, {columns} of {len(source_tokens)} source tokens", fontsize=9)
    figure.colorbar(picture, ax=axes, label="attention", shrink=0.8)
    return figure


def _plain(tokens: Sequence[str]) -> list[str]:
    return [token.replace("$", r"\$") for token in tokens]  # which would begin a formula
