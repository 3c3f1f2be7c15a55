"""Time scales of forget gates: against gates of which they are known."""

from __future__ import annotations

import math

import pytest
import torch

from seqmodels.diagnostics.timescales import bias_for, recommend, timescales_of

TAUS = (2.5, 10.5, 1000.5)


def constant_gates(time=101, lengths=(101, 51, 0)):
    log_forget = -1 / torch.tensor(TAUS)
    return log_forget.expand(len(lengths), time, len(TAUS)).clone(), torch.tensor(lengths)


def test_constant_gates_have_their_time_constant():
    found = timescales_of("lstm", *constant_gates())
    assert found.time_constants == pytest.approx(TAUS)
    assert found.steps == 76
    assert found.memory_lengths[:2] == [2, 10]
    # what holds longer than the row is counted up to its end: from each step of the first half
    counts = [length - start for length in (101, 51) for start in range((length + 1) // 2)]
    assert found.memory_lengths[2] == pytest.approx(sum(counts) / len(counts))
    assert found.cut_short == pytest.approx(1 / 3)
    assert found.open == pytest.approx(2 / 3)
    assert found.closed == 0


def test_padding_does_not_count():
    log_forget, lengths = constant_gates()
    log_forget[1, 51:] = -50.0
    log_forget[2] = float("nan")
    assert timescales_of("lstm", log_forget, lengths) == timescales_of("lstm", *constant_gates())


def test_memory_lengths_equal_the_product_step_by_step():
    torch.manual_seed(0)
    forget = torch.rand(2, 29, 3) ** 0.1
    lengths = torch.tensor([29, 17])
    found = timescales_of("gru", forget.log(), lengths)
    for unit in range(3):
        counts = []
        for row, length in enumerate(lengths.tolist()):
            for start in range((length + 1) // 2):
                held, product = 0, 1.0
                for step in range(start, length):
                    product *= float(forget[row, step, unit])
                    if product < math.exp(-1):
                        break
                    held += 1
                counts.append(held)
        assert found.memory_lengths[unit] == pytest.approx(sum(counts) / len(counts))


def test_closed_gates_are_counted():
    found = timescales_of("gru", torch.tensor([[[0.05], [0.5], [0.95], [0.01]]]).log(), torch.tensor([4]))
    assert (found.closed, found.open) == (0.5, 0.25)


def test_a_bias_gives_its_time_constant():
    for steps in (1.5, 20, 3000):
        forget = 1 / (1 + math.exp(-bias_for(steps)))
        assert -1 / math.log(forget) == pytest.approx(steps)


def test_recommends_by_what_is_wanted():
    found = timescales_of("lstm", *constant_gates())
    assert "no change" in recommend(found, 100)
    assert "chrono initialisation, b = ln u with u uniform in [1, 9999]" in recommend(found, 10_000)
    eternal = timescales_of("lstm", torch.full((1, 50, 2), -1e-7), torch.tensor([50]))
    assert "nothing is forgotten" in recommend(eternal, 20)
