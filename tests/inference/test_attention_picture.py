"""The picture of attention: its labels, what it leaves out, and what it needs."""

from __future__ import annotations

import sys

import pytest
import torch

from seqmodels.errors import ConfigurationError
from seqmodels.inference.attention_picture import plot_attention


def test_axes_are_labelled_by_the_tokens(tmp_path):
    pytest.importorskip("matplotlib")
    attention = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    figure = plot_attention(attention, ["one", "$5", "dog"], ["ein", "hund"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["one", r"\$5", "dog"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ein", "hund"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source", "translation")
    assert axes.images[0].get_cmap().name == "Greys"
    assert torch.equal(torch.as_tensor(axes.images[0].get_array()), attention)
    assert axes.collections[0].get_offsets().tolist() == [[0, 0], [2, 1]]
    figure.savefig(tmp_path / "attention.png")


def test_long_ones_are_cut():
    pytest.importorskip("matplotlib")
    figure = plot_attention(torch.full((5, 7), 1 / 7), list("abcdefg"), list("vwxyz"), max_tokens=3)
    assert figure.axes[0].images[0].get_array().shape == (3, 3)
    assert figure.axes[0].get_title() == "3 of 5 tokens, 3 of 7 source tokens"


@pytest.mark.parametrize("shape", [(3, 2), (2,), (0, 3)])
def test_sizes_must_fit(shape):
    pytest.importorskip("matplotlib")
    with pytest.raises(ConfigurationError, match=r"attention of 2 tokens to 3 source tokens must be 2 x 3"):
        plot_attention(torch.zeros(shape), ["a", "b", "c"], ["x", "y"])


def test_matplotlib_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigurationError, match=r"needs matplotlib: pip install seqmodels\[plots\]"):
        plot_attention(torch.ones(1, 1), ["a"], ["x"])
