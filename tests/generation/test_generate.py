"""Writing id by id: greedy and random, whole and streamed, under every rule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from decoding_oracle import EOS, VOCAB, RecurrentStep, log_probs_of, select
from torch import Tensor

from seqmodels.errors import ConfigurationError
from seqmodels.generation import Ensemble, GenerationOptions, Hypothesis, generate, score_references, stream

ROWS = 3
FIRST = torch.tensor([1, 2, 1])


def write(step: RecurrentStep, first: Tensor = FIRST, **options: Any) -> list[Hypothesis]:
    names = ("prompts", "forced", "stops", "row_numbers", "eos_id")
    arguments = {name: options.pop(name) for name in names if name in options}
    options = GenerationOptions(**{"max_length": 11, **options})
    return generate(step, step.start(len(first)), first, options, **{"eos_id": EOS, **arguments})


def plain(found: list[Hypothesis]) -> list[tuple[list[int], list[float], float, bool]]:
    return [(row.ids, row.log_probs, row.score, row.finished) for row in found]


def test_greedy_takes_the_best_each_time() -> None:
    step = RecurrentStep()
    for row, hypothesis in enumerate(write(step, temperature=0)):
        state, current = select(step.start(ROWS), row), int(FIRST[row])
        for number in hypothesis.ids:
            logits, state = step(torch.tensor([current]), state)
            assert number == int(logits.argmax())
            current = number
        assert hypothesis.finished == (hypothesis.ids[-1] == EOS)
        assert EOS not in hypothesis.ids[:-1]
        assert hypothesis.finished or len(hypothesis.ids) == 11


@pytest.mark.parametrize("temperature", [0, 0.7])
def test_log_probabilities_are_those_of_the_model(temperature: float) -> None:
    step = RecurrentStep()
    found = write(step, temperature=temperature, repetition_penalty=1.7, top_k=3)
    for row, hypothesis in enumerate(found):
        expected = log_probs_of(step, select(step.start(ROWS), row), int(FIRST[row]), tuple(hypothesis.ids))
        assert hypothesis.log_probs == pytest.approx(expected)
        assert hypothesis.score == pytest.approx(sum(expected))


OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "sampled": {"temperature": 1.3},
    "top-k": {"top_k": 3},
    "top-p": {"top_p": 0.8},
    "all": {"top_k": 4, "top_p": 0.9, "temperature": 0.6, "repetition_penalty": 1.2, "no_repeat_ngram": 2},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_neighbours_and_order_change_nothing(name: str) -> None:
    step = RecurrentStep(eos_bonus=1.0)
    prompts = [[3, 4, 1], [2], [1]]
    together = plain(write(step, prompts=prompts, **OPTIONS[name]))
    order = [2, 0]
    state = step.start(ROWS)
    hidden, [other] = state["hidden"]
    chosen = {"hidden": (hidden[order], [other[order]]), "count": state["count"][order], "no": None}
    options = GenerationOptions(max_length=11, **OPTIONS[name])
    fewer = generate(
        step,
        chosen,
        FIRST[order],
        options,
        eos_id=EOS,
        prompts=[prompts[row] for row in order],
        row_numbers=order,
    )
    assert plain(fewer) == [together[row] for row in order]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_stream_is_the_whole(name: str) -> None:
    step = RecurrentStep(eos_bonus=1.0)
    options = GenerationOptions(max_length=11, **OPTIONS[name])
    whole = generate(step, step.start(ROWS), FIRST, options, eos_id=EOS)
    ids: list[list[int]] = [[] for _ in range(ROWS)]
    finished = [False] * ROWS
    for written in stream(step, step.start(ROWS), FIRST, options, eos_id=EOS):
        assert written.rows == sorted(written.rows)
        for row, number, ended in zip(written.rows, written.ids, written.finished, strict=True):
            assert not finished[row]
            ids[row].append(number)
            finished[row] = ended
    assert ids == [row.ids for row in whole]
    assert finished == [row.finished for row in whole]


def test_the_stream_comes_step_by_step() -> None:
    step = RecurrentStep(eos_bonus=-9.0)
    steps = stream(step, step.start(ROWS), FIRST, GenerationOptions(), eos_id=EOS)
    assert step.seen == []
    next(steps)
    assert step.seen == [ROWS]
    next(steps)
    assert step.seen == [ROWS] * 2


def test_a_stream_leaves_gradients_on_between_its_steps() -> None:
    step = RecurrentStep()
    for _ in stream(step, step.start(ROWS), FIRST, GenerationOptions(max_length=3), eos_id=EOS):
        assert torch.is_grad_enabled()


def test_the_seed_decides() -> None:
    step = RecurrentStep(eos_bonus=-9.0)
    first, again, other = (plain(write(step, seed=seed)) for seed in (7, 7, 8))
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_finished_rows_leave_the_batch() -> None:
    step = RecurrentStep(eos_bonus=1.5)
    found = write(step, torch.tensor([1, 2, 1, 3, 4, 1, 2]), max_length=50)
    lengths = [len(row.ids) for row in found]
    assert step.seen == [sum(length > time for length in lengths) for time in range(max(lengths))]
    assert len(set(lengths)) > 1


def test_end_of_sequence_at_the_first_step() -> None:
    step = RecurrentStep(eos_bonus=90.0)
    assert [(row.ids, row.finished) for row in write(step)] == [([EOS], True)] * ROWS
    assert step.seen == [ROWS]


def test_maximal_length_one() -> None:
    step = RecurrentStep()
    assert [len(row.ids) for row in write(step, max_length=1)] == [1] * ROWS
    assert step.seen == [ROWS]


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_minimal_length(temperature: float) -> None:
    step = RecurrentStep(eos_bonus=40.0)
    found = write(step, min_length=4, max_length=5, temperature=temperature)
    assert [(len(row.ids), row.ids.index(EOS)) for row in found] == [(5, 4)] * ROWS


def test_without_an_end_of_sequence() -> None:
    found = write(RecurrentStep(eos_bonus=5.0), eos_id=None)
    assert [(len(row.ids), row.finished) for row in found] == [(11, False)] * ROWS


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_ngrams_are_not_repeated(size: int, temperature: float) -> None:
    prompts = [[3, 1], [4, 3, 4, 2], [1]]
    options = {"no_repeat_ngram": size, "temperature": temperature, "max_length": 31}
    found = write(RecurrentStep(scale=0.3, eos_bonus=-20.0), prompts=prompts, **options)
    for prompt, hypothesis in zip(prompts, found, strict=True):
        ids = prompt + hypothesis.ids
        ngrams = list(zip(*(ids[offset:] for offset in range(size)), strict=False))
        repeated = len(ngrams) - len(set(ngrams))
        assert repeated == 0 or (size == 1 and prompt.count(4) > 1 and repeated == 1)
    assert all(row.finished or len(row.ids) == 31 or len(row.ids) < VOCAB for row in found)


def test_a_row_to_which_nothing_is_allowed_ends() -> None:
    found = write(RecurrentStep(), no_repeat_ngram=1, eos_id=None, prompts=[[1], [2, 3], [1, 2, 3, 4, 0]])
    assert [(len(row.ids), row.finished) for row in found] == [(4, False), (3, False), (0, False)]
    found = write(RecurrentStep(), no_repeat_ngram=1, eos_id=None, temperature=0)
    assert [sorted(row.ids) for row in found] == [list(range(VOCAB))] * ROWS


def test_forbidden_ids() -> None:
    found = write(RecurrentStep(eos_bonus=-50.0), forbidden_ids=(2, 4), max_length=41)
    assert {number for row in found for number in row.ids} == {1, 3}


def test_forced_prefix_stands_above_the_rules() -> None:
    forced = [[3, 3, 3], [], [2, EOS]]
    step = RecurrentStep()
    found = write(step, forced=forced, no_repeat_ngram=1, min_length=5, forbidden_ids=(2,), temperature=0)
    assert found[0].ids[:3] == [3, 3, 3]
    assert (found[2].ids, found[2].finished) == ([2, EOS], True)
    free = write(step, no_repeat_ngram=1, min_length=5, forbidden_ids=(2,), temperature=0)
    assert found[1].ids == free[1].ids


def test_stops_see_what_is_written() -> None:
    asked = []

    def stop(row: int, ids: list[int]) -> bool:
        asked.append((row, list(ids)))
        return len(ids) == row + 2

    found = write(RecurrentStep(eos_bonus=-30.0), stops=stop)
    assert [(len(row.ids), row.finished) for row in found] == [(2, True), (3, True), (4, True)]
    assert asked[-1] == (2, found[2].ids)


def test_a_repetition_penalty_makes_for_variety() -> None:
    step = RecurrentStep(eos_bonus=-30.0)
    plainly = write(step, temperature=0, max_length=40)
    varied = write(step, temperature=0, max_length=40, repetition_penalty=3.0, prompts=[[1], [2], [1]])
    for before, after in zip(plainly, varied, strict=True):
        assert len(set(after.ids)) > len(set(before.ids))


@pytest.mark.parametrize("seed", range(3))
def test_an_ensemble_of_equal_models_is_one(seed: int) -> None:
    step = RecurrentStep(seed)
    ensemble = Ensemble([step, step])
    options = GenerationOptions(max_length=11, top_p=0.9)
    found = generate(ensemble, (step.start(ROWS), step.start(ROWS)), FIRST, options, eos_id=EOS)
    alone = generate(step, step.start(ROWS), FIRST, options, eos_id=EOS)
    assert [row.ids for row in found] == [row.ids for row in alone]
    assert [row.score for row in found] == pytest.approx([row.score for row in alone])


def test_an_ensemble_averages_probabilities() -> None:
    steps = [RecurrentStep(seed) for seed in (1, 2, 3)]
    states = tuple(step.start(ROWS) for step in steps)
    found, after = Ensemble(steps)(FIRST, states)
    expected = torch.stack([step(FIRST, state)[0].softmax(1) for step, state in zip(steps, states, strict=True)])
    torch.testing.assert_close(found.exp(), expected.mean(0))
    assert len(after) == 3


def test_an_ensemble_that_does_not_fit() -> None:
    with pytest.raises(ConfigurationError, match="at least one step"):
        Ensemble([])
    small, large = RecurrentStep(), RecurrentStep(vocab=7)
    with pytest.raises(ConfigurationError, match="share one vocabulary, got the sizes 5, 7"):
        Ensemble([small, large])(FIRST, (small.start(ROWS), large.start(ROWS)))
    with pytest.raises(ConfigurationError, match="an ensemble of 2 needs as many states, got 1"):
        Ensemble([small, small])(FIRST, (small.start(ROWS),))


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_references_have_the_scores_that_generation_gives(temperature: float) -> None:
    step = RecurrentStep(eos_bonus=0.5)
    found = write(step, temperature=temperature, max_length=7)
    lengths = torch.tensor([len(row.ids) for row in found])
    targets = torch.full((ROWS, 8), -100)
    for row, hypothesis in enumerate(found):
        targets[row, : len(hypothesis.ids)] = torch.tensor(hypothesis.ids)
    scores = score_references(step, step.start(ROWS), FIRST, targets, lengths)
    assert scores.shape == (ROWS, 8)
    for row, hypothesis in enumerate(found):
        assert scores[row, : lengths[row]].tolist() == pytest.approx(hypothesis.log_probs)
        assert not scores[row, lengths[row] :].any()


def test_references_of_length_zero_and_wrong_shapes() -> None:
    step = RecurrentStep()
    targets, lengths = torch.tensor([[1, 2], [0, 0], [3, 0]]), torch.tensor([2, 0, 1])
    scores = score_references(step, step.start(ROWS), FIRST, targets, lengths)
    assert (scores != 0).tolist() == [[True, True], [False, False], [True, False]]
    assert step.seen == [2, 1]
    assert score_references(step, step.start(ROWS), FIRST, targets, lengths * 0).tolist() == [[0, 0]] * ROWS
    with pytest.raises(ConfigurationError, match=r"expected targets \(3, time\) and lengths \(3,\), got \(2, 2\)"):
        score_references(step, step.start(ROWS), FIRST, targets[:2], lengths)


def test_references_pass_gradients_on() -> None:
    step = RecurrentStep()
    step.output.requires_grad_()
    score_references(
        step, step.start(ROWS), FIRST, torch.ones(ROWS, 2).long(), torch.tensor([2, 1, 0])
    ).sum().backward()
    assert step.output.grad is not None
    assert step.output.grad.abs().sum() > 0


def test_no_rows() -> None:
    assert write(RecurrentStep(), first=torch.zeros(0, dtype=torch.int64)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"min_length": 9, "max_length": 5}, r"min_length must be in \[0, max_length=5\], got 9"),
        ({"min_length": -1}, r"min_length must be in \[0, max_length=100\], got -1"),
        ({"temperature": -0.5}, "temperature must be 0 .* or above, got -0.5"),
        ({"temperature": float("nan")}, "temperature must be 0 .* or above, got nan"),
        ({"top_k": 0}, "top_k must be at least 1, or None for all ids, got 0"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\], got 0.0"),
        ({"top_p": 1.5}, r"top_p must be in \(0, 1\], got 1.5"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0, got 0.0"),
        ({"no_repeat_ngram": 0}, "no_repeat_ngram must be at least 1, or None to allow repetition, got 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        GenerationOptions(**options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": [[1]]}, "prompts: expected one entry for each of the 3 rows, got 1"),
        ({"forced": []}, "forced: expected one entry for each of the 3 rows, got 0"),
        ({"row_numbers": [1, 2]}, "row_numbers: expected one entry for each of the 3 rows, got 2"),
        ({"forced": [[], [], [1] * 12]}, "forced: row 2 begins with 12 given ids, but max_length is 11"),
        ({"forced": [[7], [], []]}, r"forced: expected ids in \[0, 5\), got 7"),
        ({"prompts": [[7], [], []]}, r"prompts: expected ids in \[0, 5\), got 7"),
        ({"forbidden_ids": (-1,)}, r"forbidden_ids: expected ids in \[0, 5\), got -1"),
        ({"eos_id": 5}, r"eos_id: expected ids in \[0, 5\), got 5"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        write(RecurrentStep(), **arguments)


@pytest.mark.parametrize("options", OPTIONS.values())
def test_logits_that_are_not_numbers(options: dict[str, Any]) -> None:
    step = RecurrentStep()
    step.embedding[2] = float("nan")
    with pytest.raises(ConfigurationError, match="row 1, id 1: the step returned logits that are NaN"):
        write(step, **options)
