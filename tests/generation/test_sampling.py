"""The choice of an id: frequencies, supports, ties, and the rules on logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seqmodels.generation.logits import block_ngrams, force, penalize_repetition
from seqmodels.generation.ranking import top
from seqmodels.generation.sampling import RANDOMS, best_ids, sample_ids, uniforms

VOCAB, DRAWS = 7, 20011
LOGITS = torch.tensor([1.5, -0.5, 0.3, 2.0, -3.0, 0.9, -torch.inf])


def draws(logits: Tensor = LOGITS, number: int = DRAWS, **options: float) -> Tensor:
    return sample_ids(logits.expand(number, -1), uniforms(3, range(number), 0), **options)  # type: ignore[arg-type]


def chi_square(ids: Tensor, probabilities: Tensor) -> float:
    """Returns the statistic over its degrees of freedom, about 1 if the ids are drawn from the probabilities."""
    possible = probabilities > 0
    counts = ids.bincount(minlength=len(probabilities))
    assert not counts[~possible].any()
    expected = probabilities[possible] * len(ids)
    return float(((counts[possible] - expected) ** 2 / expected).sum()) / max(int(possible.sum()) - 1, 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_those_of_the_softmax(temperature: float) -> None:
    assert chi_square(draws(temperature=temperature), (LOGITS / temperature).softmax(0)) < 2.5


@pytest.mark.parametrize("top_k", [1, 3, 5, 7, 100])
def test_top_k_is_the_softmax_of_the_k_best(top_k: int) -> None:
    kept = LOGITS.masked_fill(LOGITS.sort(descending=True).values[min(top_k, VOCAB) - 1] > LOGITS, -torch.inf)
    assert chi_square(draws(top_k=top_k), kept.softmax(0)) < 2.5


@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("top_k", [None, 4])
@pytest.mark.parametrize("numbers", [1, 2, RANDOMS])
def test_top_p_is_the_smallest_set_with_the_mass(top_p: float, top_k: int | None, numbers: int) -> None:
    values, order = LOGITS.sort(descending=True)
    if top_k is not None:
        values, order = values[:top_k], order[:top_k]
    probabilities = values.softmax(0)
    size = next(size for size in range(1, VOCAB + 1) if probabilities[:size].sum() >= top_p)
    kept = torch.zeros(VOCAB).index_copy(0, order[:size], probabilities[:size])
    randoms = uniforms(3, range(DRAWS), 0)[:, :numbers]
    ids = sample_ids(LOGITS.expand(DRAWS, -1), randoms, top_p=top_p, top_k=top_k)
    assert chi_square(ids, kept / kept.sum()) < 2.5


def test_frequencies_over_many_blocks() -> None:
    logits = torch.randn(1009, generator=torch.Generator().manual_seed(5))
    number = 100_003
    ids = torch.cat([draws(logits, number)])
    assert chi_square(ids, logits.softmax(0)) < 1.2
    several = sample_ids(logits.expand(499, -1), uniforms(1, range(499), 2), top_p=0.95)
    probabilities, order = logits.softmax(0).sort(descending=True)
    size = int((probabilities.cumsum(0) < 0.95).sum()) + 1
    assert set(several.tolist()) <= set(order[:size].tolist())


def test_top_p_takes_the_lower_of_equal_ids() -> None:
    for top_p, kept in ((0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.99, 4)):
        for numbers in (1, RANDOMS):
            ids = sample_ids(torch.zeros(211, 4), uniforms(0, range(211), 0)[:, :numbers], top_p=top_p)
            assert set(ids.tolist()) == set(range(kept))


def test_top_p_of_a_row_does_not_depend_on_its_neighbours() -> None:
    flat = torch.zeros(3, 1009)
    peaked = torch.randn(5, 1009, generator=torch.Generator().manual_seed(1)) * 5
    randoms = uniforms(2, range(8), 0)
    together = sample_ids(torch.cat([flat, peaked]), randoms, top_p=0.9)
    assert together[3:].tolist() == sample_ids(peaked, randoms[3:], top_p=0.9).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1e4, -1e4, 3.0], [-1e4, -1e4 - 1, -torch.inf], [0.0, 0.0, 80.0]], dtype=dtype)
    for temperature in (1e-30, 1e-3):
        assert sample_ids(logits, torch.full((3, 1), 1 - 2**-53), temperature=temperature).tolist() == [0, 0, 2]
    for options in ({}, {"top_k": 2}, {"top_p": 0.9}):
        ids = sample_ids(logits, torch.tensor([[0.0], [1 - 2**-53], [0.5]], dtype=torch.float64), **options)
        assert ids.tolist()[::2] == [0, 2]
        assert ids[1] in (0, 1)


def test_an_impossible_id_is_never_drawn() -> None:
    logits = torch.full((11, 300), -torch.inf)
    logits[:, 5] = logits[:, 299] = 0
    for random in (0.0, 0.4999, 0.5, 1 - 2**-53):
        ids = sample_ids(logits, torch.full((11, 1), random, dtype=torch.float64))
        assert ids.tolist() == [5 if random < 0.5 else 299] * 11


def test_random_numbers_depend_on_seed_row_and_step_alone() -> None:
    assert torch.equal(uniforms(5, [7, 1008, 0], 3), uniforms(5, range(1009), 3)[[7, 1008, 0]])
    numbers = uniforms(5, range(1009), 3)[:, 0]
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for other in (uniforms(6, range(1009), 3), uniforms(5, range(1009), 4), uniforms(5, range(1, 1010), 3)):
        for column in other.unbind(1):
            assert abs(torch.corrcoef(torch.stack([numbers, column]))[0, 1]) < 0.1
    assert len(uniforms(-3, [2**63, 2**64 + 1], 0).unique()) == 2 * RANDOMS
    along = torch.cat([uniforms(0, [4], step) for step in range(211)]).flatten()
    assert abs(along.mean() - 0.5) < 0.03
    assert abs(along.var() - 1 / 12) < 0.01


def test_best_of_equal_ids_is_the_lowest() -> None:
    assert best_ids(torch.tensor([[0.0, 2.0, 2.0], [1.0, 1.0, 1.0]])).tolist() == [1, 0]


@pytest.mark.parametrize("count", [1, 3, 10, 57, 101, 200])
def test_top_is_a_stable_sort(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    values = torch.randint(0, 13, (17, 101), generator=generator).float()
    values[3:5, 20:] = -torch.inf
    found, indices = top(values, count)
    expected, order = values.sort(dim=1, descending=True, stable=True)
    assert torch.equal(found, expected[:, :count])
    finite = found > -torch.inf
    assert torch.equal(indices[finite], order[:, :count][finite])


def test_repetition_penalty_is_that_of_the_definition() -> None:
    logits = torch.randn(4, VOCAB, generator=torch.Generator().manual_seed(0))
    history = torch.tensor([[-1, -1, 0, 3, 3], [-1, -1, -1, -1, -1], [2, 2, 2, 2, 2], [6, 5, 4, 1, -1]])
    found = penalize_repetition(logits, history, 1.7)
    for row in range(4):
        for number in range(VOCAB):
            value = logits[row, number].item()
            present = number in history[row].tolist()
            expected = (value / 1.7 if value > 0 else value * 1.7) if present else value
            assert found[row, number].item() == pytest.approx(expected)
    assert torch.equal(penalize_repetition(logits, history[:, :0], 1.7), logits)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_blocked_ids_are_those_that_repeat_an_ngram(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    history = torch.randint(0, 3, (19, 11), generator=generator)
    for row in range(19):
        history[row, : row % 12] = -1
    found = block_ngrams(torch.zeros(19, 3), history, size)
    for row, ids in enumerate(history.tolist()):
        ids = [number for number in ids if number >= 0]
        ngrams = {tuple(ids[start : start + size]) for start in range(len(ids) - size + 1)}
        for number in range(3):
            repeats = tuple([*ids, number][-size:]) in ngrams
            assert (found[row, number] == -torch.inf) == repeats


def test_force_leaves_one_id() -> None:
    found = force(torch.zeros(2, 3), torch.tensor([2, -1]))
    assert found.tolist() == [[-torch.inf, -torch.inf, 0], [0, 0, 0]]
