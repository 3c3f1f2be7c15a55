"""The picture of a confusion matrix: what is drawn of it."""

from __future__ import annotations

import builtins
import io

import pytest
import torch

from seqmodels.errors import ConfigurationError
from seqmodels.metrics import plot_confusion_matrix

pytest.importorskip("matplotlib")


def test_labels_and_numbers() -> None:
    matrix = torch.tensor([[950, 0, 1], [2, 9500, 0], [0, 3, 2_100_000]])
    axes = plot_confusion_matrix(matrix, ["a", "b", "c"]).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "gold")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert [text.get_text() for text in axes.texts] == ["950", "1", "2", "9.5k", "3", "2.1M"]


def test_draws_the_most_frequent_of_many() -> None:
    matrix = torch.diag(torch.arange(7))
    axes = plot_confusion_matrix(matrix, list("abcdefg"), max_classes=3).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["e", "f", "g"]
    assert axes.get_title() == "the 3 most frequent of 7 labels"


def test_no_numbers_for_many_labels() -> None:
    figure = plot_confusion_matrix(torch.ones(41, 41), [str(index) for index in range(41)])
    assert not figure.axes[0].texts
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"of 3 names must be 3 x 3, got \(2, 2\)"):
        plot_confusion_matrix(torch.ones(2, 2), ["a", "b", "c"])
    whole_import = builtins.__import__

    def without_matplotlib(name: str, *arguments: object, **options: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return whole_import(name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ConfigurationError, match=r"needs matplotlib: pip install seqmodels\[plots\]"):
        plot_confusion_matrix(torch.ones(1, 1), ["a"])
