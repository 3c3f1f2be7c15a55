"""Beam search against the enumeration of everything, against greedy, and against itself in other batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from decoding_oracle import EOS, VOCAB, RecurrentStep, enumerate_best, log_probs_of, select
from torch import Tensor

from seqmodels.errors import ConfigurationError
from seqmodels.generation import BeamOptions, GenerationOptions, Hypothesis, beam_search, generate

ROWS = 3
FIRST = torch.tensor([1, 2, 1])


def search(step: RecurrentStep, first: Tensor = FIRST, **options: Any) -> list[list[Hypothesis]]:
    arguments = {
        name: options.pop(name)
        for name in ("forced", "must_include", "read_attention", "source_lengths", "eos_id")
        if name in options
    }
    return beam_search(step, step.start(len(first)), first, BeamOptions(**options), **{"eos_id": EOS, **arguments})


def plain(found: list[list[Hypothesis]]) -> list[list[tuple[list[int], float]]]:
    return [[(hypothesis.ids, hypothesis.score) for hypothesis in row] for row in found]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("n_best", [1, 5])
def test_a_beam_of_full_width_finds_the_best_of_all(length_penalty: float, n_best: int) -> None:
    step = RecurrentStep()
    found = search(step, beam_size=256, n_best=n_best, max_length=4, length_penalty=length_penalty)
    for row, hypotheses in enumerate(found):
        best = enumerate_best(
            step, select(step.start(ROWS), row), int(FIRST[row]), max_length=4, length_penalty=length_penalty
        )
        assert [tuple(hypothesis.ids) for hypothesis in hypotheses] == [ids for _, ids in best[:n_best]]
        assert [hypothesis.score for hypothesis in hypotheses] == pytest.approx([score for score, _ in best[:n_best]])


@pytest.mark.parametrize("seed", range(7))
def test_a_beam_of_one_is_greedy(seed: int) -> None:
    step = RecurrentStep(seed, eos_bonus=0.5)
    options = GenerationOptions(max_length=13, temperature=0)
    greedy = generate(step, step.start(ROWS), FIRST, options, eos_id=EOS)
    found = search(step, beam_size=1, max_length=13)
    assert [[row.ids] for row in greedy] == [[hypothesis.ids for hypothesis in row] for row in found]
    assert [row.score for row in greedy] == pytest.approx([row[0].score for row in found])
    assert [row.finished for row in greedy] == [row[0].finished for row in found]


def test_wider_beams_find_what_is_as_good_or_better_on_average() -> None:
    scores = []
    for beam_size in (1, 3, 7, 64):
        total = 0.0
        for seed in range(11):
            total += sum(row[0].score for row in search(RecurrentStep(seed), beam_size=beam_size, max_length=7))
        scores.append(total)
    assert scores == sorted(scores)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "plain": {"n_best": 4},
    "length penalty": {"n_best": 4, "length_penalty": 0.8},
    "coverage": {"n_best": 2, "coverage_penalty": 0.3, "length_penalty": 0.5},
    "n-grams": {"no_repeat_ngram": 2},
    "minimal length": {"min_length": 3},
    "groups": {"groups": 2, "n_best": 2},
    "forced": {"forced": [[3], [], [2, 4]]},
    "phrases": {"must_include": [[[3, 3]], [], [[4], [2, 1]]]},
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_neighbours_change_nothing(name: str) -> None:
    step = RecurrentStep(eos_bonus=1.0)
    arguments = dict(ARGUMENTS[name])
    together = search(step, beam_size=4, max_length=9, read_attention=step.attention, **arguments)
    for row in range(ROWS):
        own = {key: arguments.pop(key)[row : row + 1] for key in ("forced", "must_include") if key in arguments}
        alone = beam_search(
            step,
            select(step.start(ROWS), row),
            FIRST[row : row + 1],
            BeamOptions(beam_size=4, max_length=9, **arguments),
            eos_id=EOS,
            read_attention=step.attention,
            **own,
        )
        arguments = dict(ARGUMENTS[name])
        assert plain(alone) == plain(together[row : row + 1])


@pytest.mark.parametrize("name", ARGUMENTS)
def test_log_probabilities_are_those_of_the_model(name: str) -> None:
    step = RecurrentStep()
    options = dict(ARGUMENTS[name])
    for row, hypotheses in enumerate(search(step, beam_size=4, max_length=6, read_attention=step.attention, **options)):
        for hypothesis in hypotheses:
            state = select(step.start(ROWS), row)
            expected = log_probs_of(step, state, int(FIRST[row]), tuple(hypothesis.ids))
            assert hypothesis.log_probs == pytest.approx(expected)
            assert hypothesis.attention is not None
            assert hypothesis.attention.shape == (len(hypothesis.ids), 3)
            length = len(hypothesis.ids)
            score = sum(expected) / ((5 + length) / 6) ** options.get("length_penalty", 0)
            covered = hypothesis.attention.sum(0).clamp(max=1).log().sum().item()
            assert hypothesis.score == pytest.approx(score + options.get("coverage_penalty", 0) * covered)
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        assert len(hypotheses) == options.get("n_best", 1)
        assert name == "groups" or len({tuple(h.ids) for h in hypotheses}) == len(hypotheses)


def test_attention_is_that_of_each_step() -> None:
    step = RecurrentStep()
    hypothesis = search(step, beam_size=3, max_length=5, read_attention=step.attention)[1][0]
    state, current = select(step.start(ROWS), 1), int(FIRST[1])
    assert hypothesis.attention is not None
    for number, looked in zip(hypothesis.ids, hypothesis.attention, strict=True):
        _, state = step(torch.tensor([current]), state)
        torch.testing.assert_close(looked, step.attention(state)[0])
        current = number


def test_padding_of_the_source_costs_no_coverage() -> None:
    step = RecurrentStep()
    lengths = torch.tensor([3, 2, 3])

    def padded(state: Any) -> Tensor:
        return torch.nn.functional.pad(step.attention(state), (0, 2))

    options = {"beam_size": 3, "max_length": 5, "coverage_penalty": 0.4}
    short = search(step, read_attention=step.attention, source_lengths=lengths, **options)
    long = search(step, read_attention=padded, source_lengths=lengths, **options)
    assert plain(short) == plain(long)
    assert long[1][0].attention is not None
    assert long[1][0].attention.shape == (len(long[1][0].ids), 2)


def test_finished_rows_leave_the_batch() -> None:
    step = RecurrentStep(eos_bonus=1.0)
    search(step, torch.tensor([1, 2, 1, 3, 4, 1, 2]), beam_size=2, max_length=50)
    assert step.seen[0] == 7  # up to there the hypotheses of a row are the same
    assert step.seen[1] > 7
    assert step.seen[-1] < 7 * 2
    assert len(step.seen) < 50
    assert step.seen[1:] == sorted(step.seen[1:], reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_stopping_early_loses_nothing(seed: int) -> None:
    """A row alone that must go on to the end, because its kept hypotheses are never full, finds the same best ones."""
    step = RecurrentStep(seed, eos_bonus=1.0)
    options = {"beam_size": 8, "max_length": 7, "length_penalty": 1.0}
    early, calls = search(step, n_best=2, **options), len(step.seen)
    late = search(step, n_best=8, **options)
    assert len(step.seen) - calls >= calls
    assert plain(early) == [row[:2] for row in plain(late)]


def test_end_of_sequence_at_the_first_step() -> None:
    found = search(RecurrentStep(eos_bonus=50.0), beam_size=3, max_length=6)
    assert [row[0].ids for row in found] == [[EOS]] * ROWS
    assert all(row[0].finished for row in found)


def test_maximal_length_one() -> None:
    step = RecurrentStep()
    found = search(step, beam_size=VOCAB, n_best=VOCAB, max_length=1)
    for row in found:
        assert sorted(hypothesis.ids[0] for hypothesis in row) == list(range(VOCAB))
        assert sum(hypothesis.finished for hypothesis in row) == 1
    assert step.seen == [ROWS]


@pytest.mark.parametrize("length", [0, 3, 6])
def test_minimal_length(length: int) -> None:
    found = search(RecurrentStep(eos_bonus=6.0), beam_size=3, n_best=3, min_length=length, max_length=6)
    for hypothesis in (hypothesis for row in found for hypothesis in row):
        assert EOS not in hypothesis.ids[:length]
        assert len(hypothesis.ids) >= length


def test_without_an_end_of_sequence() -> None:
    found = search(RecurrentStep(eos_bonus=9.0), beam_size=2, max_length=5, eos_id=None)
    assert [len(row[0].ids) for row in found] == [5] * ROWS
    assert not any(row[0].finished for row in found)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ngrams_are_not_repeated(size: int) -> None:
    step = RecurrentStep(scale=0.3, eos_bonus=-20.0)
    found = search(step, beam_size=4, n_best=4, max_length=23, no_repeat_ngram=size)
    for hypothesis in (hypothesis for row in found for hypothesis in row):
        ngrams = list(zip(*(hypothesis.ids[offset:] for offset in range(size)), strict=False))
        assert len(set(ngrams)) == len(ngrams)
    assert any(len(row[0].ids) >= VOCAB for row in found)


def test_forbidden_ids() -> None:
    found = search(RecurrentStep(), beam_size=4, n_best=4, max_length=5, forbidden_ids=(2, 4))
    assert {number for row in found for hypothesis in row for number in hypothesis.ids} <= {EOS, 1, 3}


def test_a_row_to_which_nothing_is_allowed_returns_its_prefix() -> None:
    found = search(RecurrentStep(), beam_size=3, max_length=7, no_repeat_ngram=1, eos_id=None)
    assert all(sorted(row[0].ids) == list(range(VOCAB)) for row in found)
    found = search(RecurrentStep(), beam_size=3, max_length=4, forbidden_ids=tuple(range(VOCAB)))
    assert [(row[0].ids, row[0].finished, row[0].score) for row in found] == [([], False, 0.0)] * ROWS
    found = search(RecurrentStep(), beam_size=3, max_length=1, forbidden_ids=tuple(range(VOCAB)))
    assert [row[0].ids for row in found] == [[]] * ROWS


def test_forced_prefix() -> None:
    forced = [[3, 3, 3], [], [4]]
    step = RecurrentStep()
    found = search(step, beam_size=256, n_best=3, max_length=4, forced=forced, forbidden_ids=(), no_repeat_ngram=None)
    for row, (hypotheses, prefix) in enumerate(zip(found, forced, strict=True)):
        best = enumerate_best(step, select(step.start(ROWS), row), int(FIRST[row]), max_length=4)
        expected = [ids for _, ids in best if list(ids[: len(prefix)]) == prefix]
        assert [tuple(hypothesis.ids) for hypothesis in hypotheses] == expected[:3]


def test_forced_ids_stand_above_the_rules() -> None:
    found = search(
        RecurrentStep(), beam_size=2, max_length=5, forced=[[3, 3, 3], [], [EOS]], no_repeat_ngram=1, min_length=2
    )
    assert found[0][0].ids[:3] == [3, 3, 3]
    assert found[2][0].ids == [EOS]


def includes(ids: list[int], phrase: list[int]) -> bool:
    return any(ids[start : start + len(phrase)] == phrase for start in range(len(ids)))


@pytest.mark.parametrize("beam_size", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_phrases_are_included(seed: int, beam_size: int) -> None:
    phrases = [[[1, 2], [1, 3]], [], [[4, 4, 1], [2], [4, 4, 2]]]
    step = RecurrentStep(seed, eos_bonus=3.0)
    found = search(step, beam_size=beam_size, n_best=beam_size, max_length=8, must_include=phrases)
    for hypotheses, wanted in zip(found, phrases, strict=True):
        assert hypotheses
        for hypothesis in hypotheses:
            assert all(includes(hypothesis.ids, phrase) for phrase in wanted)


@pytest.mark.parametrize("seed", range(3))
def test_a_beam_of_full_width_finds_the_best_with_the_phrases(seed: int) -> None:
    phrases = [[[1, 2]], [[3], [4]], [[2, 2]]]
    step = RecurrentStep(seed)
    found = search(step, beam_size=400, n_best=3, max_length=4, must_include=phrases)
    for row, (hypotheses, wanted) in enumerate(zip(found, phrases, strict=True)):
        best = enumerate_best(step, select(step.start(ROWS), row), int(FIRST[row]), max_length=4)
        expected = [ids for _, ids in best if all(includes(list(ids), phrase) for phrase in wanted)]
        assert [tuple(hypothesis.ids) for hypothesis in hypotheses] == expected[:3]


def test_phrases_that_the_rules_forbid_are_left_out() -> None:
    found = search(
        RecurrentStep(), beam_size=3, n_best=2, max_length=5, must_include=[[[3]], [], [[2]]], forbidden_ids=(3,)
    )
    assert not includes(found[0][0].ids, [3])
    assert len(found[0][0].ids) == 5
    assert includes(found[2][0].ids, [2])


def test_groups_differ() -> None:
    options = {"beam_size": 6, "max_length": 6, "n_best": 3}
    close = search(RecurrentStep(vocab=11, eos_bonus=-5.0), **options)
    apart = search(RecurrentStep(vocab=11, eos_bonus=-5.0), groups=3, diversity=50.0, **options)
    for near, far in zip(close, apart, strict=True):
        assert len({hypothesis.ids[0] for hypothesis in far}) == 3
        assert near[0].score >= far[0].score


def test_groups_without_diversity_are_searched_alike() -> None:
    alone = search(RecurrentStep(), beam_size=3, n_best=2, max_length=6)
    grouped = search(RecurrentStep(), beam_size=6, n_best=4, max_length=6, groups=2, diversity=0.0)
    assert [row[::2] for row in plain(grouped)] == [row[1::2] for row in plain(grouped)] == plain(alone)


def test_of_equal_continuations_the_lower_id_is_preferred() -> None:
    def even(ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(ids), 11), state

    found = beam_search(
        even, torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), BeamOptions(beam_size=3, max_length=3), eos_id=10
    )
    assert [row[0].ids for row in found] == [[0, 0, 0]] * 2


def test_no_rows() -> None:
    step = RecurrentStep()
    assert search(step, first=torch.zeros(0, dtype=torch.int64), beam_size=3) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size must be at least 1, got 0"),
        ({"beam_size": 3, "n_best": 4}, r"n_best must be in \[1, beam_size=3\], got 4"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"min_length": 7, "max_length": 5}, r"min_length must be in \[0, max_length=5\], got 7"),
        ({"length_penalty": -0.1}, "length_penalty must be 0 or above, got -0.1"),
        ({"coverage_penalty": float("nan")}, "coverage_penalty must be 0 or above, got nan"),
        ({"diversity": -1.0}, "diversity must be 0 or above"),
        ({"groups": 2, "beam_size": 5}, "groups must divide beam_size=5 and n_best=1, got 2"),
        ({"no_repeat_ngram": 0}, "no_repeat_ngram must be at least 1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        BeamOptions(**options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coverage_penalty": 0.1}, "coverage_penalty needs the attention"),
        ({"forced": [[1]]}, "forced: expected one entry for each of the 3 rows, got 1"),
        ({"must_include": [[]]}, "must_include: expected one entry for each of the 3 rows, got 1"),
        ({"forced": [[], [1] * 6, []]}, "forced: row 1 begins with 6 given ids, but max_length is 5"),
        ({"forced": [[], [VOCAB], []]}, r"forced, row 1: expected ids in \[0, 5\), got 5"),
        ({"must_include": [[], [[1, -2]], []]}, r"must_include, row 1: expected ids in \[0, 5\), got -2"),
        ({"must_include": [[], [[]], []]}, "must_include, row 1: a phrase is one id or more"),
        ({"must_include": [[], [], [[2, EOS]]]}, "must_include, row 2: a phrase .* without the end of sequence"),
        ({"must_include": [[], [[1, 2], [3, 4, 1]], []]}, "row 1: the phrases need 6 ids, but max_length is 5"),
        ({"forbidden_ids": (9,)}, r"forbidden_ids: expected ids in \[0, 5\), got 9"),
        ({"eos_id": 5}, r"eos_id: expected ids in \[0, 5\), got 5"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        search(RecurrentStep(), max_length=5, beam_size=2, **arguments)


@pytest.mark.parametrize("max_length", [1, 4])
def test_logits_that_are_not_numbers(max_length: int) -> None:
    step = RecurrentStep()
    step.embedding[2] = float("nan")
    with pytest.raises(ConfigurationError, match="row 1, id 1: the step returned logits that are NaN"):
        search(step, max_length=max_length, beam_size=2)
