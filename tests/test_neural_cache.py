"""The neural cache: a plain account of its equation, and independence of windows, rows and padding."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from seqmodels.encoders.state import select_rows
from seqmodels.errors import ConfigurationError
from seqmodels.neural_cache import NeuralCache

BATCH, TIME, HIDDEN, VOCABULARY, SIZE = 3, 17, 5, 4, 7


@pytest.fixture
def text() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(BATCH, TIME, HIDDEN, generator=generator, dtype=torch.float64)
    targets = torch.randint(VOCABULARY, (BATCH, TIME), generator=generator)
    logits = torch.randn(BATCH, TIME, VOCABULARY, generator=generator, dtype=torch.float64)
    log_probs = logits.log_softmax(2).gather(2, targets.unsqueeze(2)).squeeze(2)
    return {"outputs": outputs, "targets": targets, "log_probs": log_probs, "lengths": torch.tensor([TIME, 11, 0])}


@pytest.fixture
def cache() -> NeuralCache:
    return NeuralCache(SIZE, flatness=0.7, weight=0.3)


def by_hand(cache: NeuralCache, outputs: Any, targets: Any, log_probs: Any) -> list[float]:
    """The paper's equations for one row, in plain Python."""
    results = []
    for t, (output, target) in enumerate(zip(outputs, targets, strict=True)):
        mass: dict[int, float] = {}
        for i in range(max(0, t - cache.size), t):
            score = math.exp(cache.flatness * sum(a * b for a, b in zip(output, outputs[i], strict=True)))
            mass[targets[i]] = mass.get(targets[i], 0.0) + score
        share = cache.weight if mass else 0.0
        cached = mass.get(target, 0.0) / sum(mass.values()) if mass else 0.0
        results.append(math.log((1 - share) * math.exp(log_probs[t]) + share * cached))
    return results


def in_windows(cache: NeuralCache, text: dict[str, Tensor], sizes: list[int]) -> tuple[Tensor, Any]:
    parts, memory, begin = [], None, 0
    for size in sizes:
        window = {name: values[:, begin : begin + size] for name, values in text.items() if name != "lengths"}
        lengths = (text["lengths"] - begin).clamp(0, size)
        log_probs, memory = cache.log_probs(**window, lengths=lengths, memory=memory)
        parts.append(log_probs)
        begin += size
    return torch.cat(parts, 1), memory


def test_it_is_the_equation(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    found, _ = cache.log_probs(**text)
    for row, length in enumerate(text["lengths"].tolist()):
        parts = [text[name][row, :length].tolist() for name in ("outputs", "targets", "log_probs")]
        expected = torch.tensor(by_hand(cache, *parts), dtype=torch.float64)
        torch.testing.assert_close(found[row, :length], expected)
        assert (found[row, length:] == 0).all()


@pytest.mark.parametrize("sizes", [[1] * TIME, [2, 3, 12], [11, 6], [16, 1]])
def test_windows_give_what_one_row_does(cache: NeuralCache, text: dict[str, Tensor], sizes: list[int]) -> None:
    whole, memory = cache.log_probs(**text)
    parts, carried = in_windows(cache, text, sizes)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(carried, memory)


def test_rows_do_not_mix(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    order = torch.tensor([1, 2, 0])
    _, memory = cache.log_probs(**text)
    whole, after = cache.log_probs(**text, memory=memory)
    permuted = {name: values[order] for name, values in text.items()}
    found, carried = cache.log_probs(**permuted, memory=select_rows(memory, order))
    torch.testing.assert_close(found, whole[order])
    torch.testing.assert_close(carried, select_rows(after, order))
    one = {name: values[:1] for name, values in text.items()}
    torch.testing.assert_close(cache.log_probs(**one)[0], cache.log_probs(**text)[0][:1])


def test_padding_may_be_anything(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    expected = cache.log_probs(**text)
    padding = torch.arange(TIME) >= text["lengths"].unsqueeze(1)
    text["outputs"][padding] = math.nan
    text["log_probs"][padding] = -math.inf
    text["targets"][padding] = -100
    torch.testing.assert_close(cache.log_probs(**text), expected)


def test_the_future_is_not_seen(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    expected, _ = cache.log_probs(**text)
    text["outputs"][:, 9:] += 1
    text["targets"][:, 9:] = 0
    torch.testing.assert_close(cache.log_probs(**text)[0][:, :9], expected[:, :9])


def test_forgotten_rows_begin_anew(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    fresh, _ = cache.log_probs(**text)
    _, memory = cache.log_probs(**text)
    carried, _ = cache.log_probs(**text, memory=memory)
    found, _ = cache.log_probs(**text, memory=cache.forget(memory, torch.tensor([True, False, True])))
    torch.testing.assert_close(found[0], fresh[0])
    torch.testing.assert_close(found[1], carried[1])
    assert not torch.allclose(carried[0], fresh[0])


def test_the_first_step_is_the_models(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    found, _ = cache.log_probs(**text)
    assert (found[:2, 0] == text["log_probs"][:2, 0]).all()
    found, _ = NeuralCache(SIZE, flatness=0.7, weight=0).log_probs(**text)
    torch.testing.assert_close(found[0], text["log_probs"][0])


def test_probabilities_of_all_words_sum_to_one(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    _, memory = cache.log_probs(**text)
    step = {"outputs": text["outputs"][:1, :1], "lengths": torch.ones(1, dtype=torch.int64)}
    logs = torch.arange(VOCABULARY, dtype=torch.float64).log_softmax(0)
    memory = select_rows(memory, torch.tensor([0]))
    total = sum(
        cache.log_probs(**step, targets=torch.tensor([[word]]), log_probs=logs[word].view(1, 1), memory=memory)[0].exp()
        for word in range(VOCABULARY)
    )
    torch.testing.assert_close(total, torch.ones(1, 1, dtype=torch.float64))


def test_an_unscored_step_is_not_remembered(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    text["targets"][0, 4] = -100
    found, memory = cache.log_probs(**text)
    text["outputs"][0, 4] *= 100
    changed, _ = cache.log_probs(**text)
    torch.testing.assert_close(changed, found)
    assert found[0, 4] == 0
    only = {
        name: values[:1, 4:5] if name != "lengths" else torch.ones(1, dtype=torch.int64)
        for name, values in text.items()
    }
    _, memory = cache.log_probs(**only)
    only["targets"] = torch.tensor([[2]])
    torch.testing.assert_close(cache.log_probs(**only, memory=memory)[0], only["log_probs"])


def test_large_scores_do_not_overflow_in_half_precision(text: dict[str, Tensor]) -> None:
    cache = NeuralCache(SIZE, flatness=1.0, weight=0.5)
    text["outputs"] = (text["outputs"] * 40).half()
    found, memory = cache.log_probs(**text)
    assert found.isfinite().all()
    assert memory.keys.dtype == torch.float32


def test_a_window_without_steps(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    _, memory = cache.log_probs(**text)
    empty = {name: values[:, :0] if name != "lengths" else values * 0 for name, values in text.items()}
    found, carried = cache.log_probs(**empty, memory=memory)
    assert found.shape == (BATCH, 0)
    torch.testing.assert_close(carried, memory)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be a positive integer, got 0"),
        ({"flatness": -0.1}, r"flatness must be a finite number of at least 0, got -0\.1"),
        ({"flatness": math.nan}, "flatness must be a finite number of at least 0, got nan"),
        ({"weight": 1.0}, r"weight must be in \[0, 1\), got 1\.0"),
        ({"weight": -0.1}, r"weight must be in \[0, 1\), got -0\.1"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, float], message: str) -> None:
    given: dict[str, Any] = {"size": SIZE, "flatness": 0.3, "weight": 0.1} | arguments
    with pytest.raises(ConfigurationError, match=message):
        NeuralCache(given.pop("size"), **given)


def test_shapes_that_do_not_fit(cache: NeuralCache, text: dict[str, Tensor]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"expected outputs .*; got \(3, 17, 5\), \(3, 16\), \(3, 17\), \(3,\)"
    ):
        cache.log_probs(**{**text, "targets": text["targets"][:, 1:]})
    memory = NeuralCache(SIZE + 1, flatness=0.7, weight=0.3).empty_memory(text["outputs"])
    with pytest.raises(ConfigurationError, match=r"expected a memory of shape \(3, 7, 5\), got \(3, 8, 5\)"):
        cache.log_probs(**text, memory=memory)
