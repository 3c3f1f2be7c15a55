"""Each row has its own maximal length, a search its patience, and both are the same in any batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from decoding_oracle import EOS, RecurrentStep, enumerate_best, select

from seqmodels.errors import ConfigurationError
from seqmodels.generation import BeamOptions, GenerationOptions, beam_search, generate

ROWS = 3
FIRST = torch.tensor([1, 2, 1])
LIMITS = [4, 1, 3]


def search(step: RecurrentStep, max_lengths: list[int] | None, eos_id: int | None = EOS, **options: Any) -> Any:
    arguments = {name: options.pop(name) for name in ("forced", "must_include") if name in options}
    chosen = BeamOptions(**{"max_length": 9, **options})
    return beam_search(step, step.start(ROWS), FIRST, chosen, eos_id=eos_id, max_lengths=max_lengths, **arguments)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_beam_of_full_width_finds_the_best_of_each_length(length_penalty: float) -> None:
    step = RecurrentStep()
    found = search(step, LIMITS, beam_size=256, n_best=5, length_penalty=length_penalty)
    for row, hypotheses in enumerate(found):
        state = select(step.start(ROWS), row)
        best = enumerate_best(step, state, int(FIRST[row]), max_length=LIMITS[row], length_penalty=length_penalty)
        assert [tuple(one.ids) for one in hypotheses] == [ids for _, ids in best[:5]]
        assert [one.score for one in hypotheses] == pytest.approx([score for score, _ in best[:5]])


@pytest.mark.parametrize("options", [{}, {"groups": 2, "n_best": 2}, {"eos_id": None}, {"min_length": 1}], ids=str)
def test_a_row_is_searched_as_if_its_length_were_that_of_all(options: dict[str, Any]) -> None:
    step = RecurrentStep(eos_bonus=-1.0)
    together = search(step, LIMITS, beam_size=4, **options)
    for row, limit in enumerate(LIMITS):
        alone = search(step, None, beam_size=4, max_length=limit, **options)[row]
        assert [(one.ids, one.score, one.finished) for one in together[row]] == [
            (one.ids, one.score, one.finished) for one in alone
        ]


def test_phrases_must_fit_into_each_row() -> None:
    step = RecurrentStep()
    found = search(step, [4, 9, 9], beam_size=6, must_include=[[[2, 3]], [], []])
    assert any(found[0][0].ids[place : place + 2] == [2, 3] for place in range(3))
    assert len(found[0][0].ids) <= 4
    with pytest.raises(ConfigurationError, match=r"row 0: the phrases need 3 ids, but max_length is 2"):
        search(step, [2, 9, 9], beam_size=6, must_include=[[[2, 3]], [], []])


def test_generation_stops_at_each_length() -> None:
    step = RecurrentStep(eos_bonus=-20.0)
    options = GenerationOptions(max_length=7, temperature=0)
    found = generate(step, step.start(ROWS), FIRST, options, eos_id=EOS, max_lengths=[5, 1, 11])
    whole = generate(step, step.start(ROWS), FIRST, options, eos_id=EOS)
    assert [len(one.ids) for one in found] == [5, 1, 7]
    assert [one.ids for one in found] == [one.ids[:limit] for one, limit in zip(whole, [5, 1, 7], strict=True)]
    assert not any(one.finished for one in found)


@pytest.mark.parametrize(
    ("max_lengths", "options", "message"),
    [
        ([3, 3], {}, r"max_lengths: expected one entry for each of the 3 rows, got 2"),
        ([3, 0, 3], {}, r"max_lengths: row 1 must be at least 1, which is one id, got 0"),
        ([3, 3, 1], {"min_length": 2}, r"max_lengths: row 2 must be at least 2, which is min_length, got 1"),
        ([3, 1, 3], {"forced": [[], [2, 3], []]}, r"forced: row 1 begins with 2 given ids, but max_length is 1"),
    ],
)
def test_lengths_out_of_range(max_lengths: list[int], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        search(RecurrentStep(), max_lengths, **options)


def test_patience_ends_a_search_when_enough_hypotheses_have_ended() -> None:
    calls, scores = [], []
    for patience in (0.5, 1.0, 3.0, None):
        step = RecurrentStep(eos_bonus=0.5)
        found = search(step, None, beam_size=4, max_length=60, length_penalty=1.5, patience=patience)
        calls.append(len(step.seen))
        scores.append(sum(row[0].score for row in found))
    assert calls == sorted(calls)
    assert calls[0] < calls[-1]
    assert scores == sorted(scores)


def test_patience_of_a_row_is_its_own() -> None:
    step = RecurrentStep(eos_bonus=0.5)
    options = BeamOptions(beam_size=4, max_length=60, length_penalty=1.5, patience=1.0)
    together = beam_search(step, step.start(ROWS), FIRST, options, eos_id=EOS)
    for row in range(ROWS):
        one = slice(row, row + 1)
        (alone,) = beam_search(step, select(step.start(ROWS), row), FIRST[one], options, eos_id=EOS)
        assert [found.ids for found in alone] == [found.ids for found in together[row]]


@pytest.mark.parametrize("patience", [0, -1.0, float("inf")])
def test_patience_out_of_range(patience: float) -> None:
    with pytest.raises(ConfigurationError, match="patience must be above 0, or null to search on"):
        BeamOptions(patience=patience)


def test_attention_need_not_be_kept() -> None:
    step = RecurrentStep()
    options = BeamOptions(beam_size=3, n_best=2, max_length=5, coverage_penalty=0.4)
    kept, not_kept = (
        beam_search(
            step,
            step.start(ROWS),
            FIRST,
            options,
            eos_id=EOS,
            read_attention=step.attention,
            keep_attention=keep,
        )
        for keep in (True, False)
    )
    assert [[one.score for one in row] for row in kept] == [[one.score for one in row] for row in not_kept]
    assert all(one.attention is not None for row in kept for one in row)
    assert all(one.attention is None for row in not_kept for one in row)
