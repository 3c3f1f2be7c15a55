from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch.utils.data.distributed import DistributedSampler

from seqmodels.data.bucketing import BucketSampler, Chosen
from seqmodels.data.encoded import round_time
from seqmodels.errors import ConfigurationError

MODES: dict[str, dict[str, Any]] = {
    "by count": {"batch_size": 7},
    "by budget": {"max_tokens": 97},
    "by count, evaluation": {"batch_size": 7, "shuffle": False},
    "by budget, evaluation": {"max_tokens": 97, "shuffle": False},
}


def sentence_lengths(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).lognormal(2.3, 0.7, rows).astype(int)


def pair_lengths(rows: int) -> np.ndarray:
    """Sources, and targets that are about as long."""
    source = sentence_lengths(rows)
    return np.stack([source, (source * np.random.default_rng(rows).uniform(0.7, 1.6, rows)).astype(int)], axis=1)


def epochs(lengths: np.ndarray, replicas: int, epoch: int, **arguments: Any) -> list[list[Chosen]]:
    """The batches of each rank."""
    samplers = [
        BucketSampler(lengths, **{"shuffle": True, "pool": 3} | arguments, num_replicas=replicas, rank=rank)
        for rank in range(replicas)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    batches = [list(sampler) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(own) for own in batches]
    return batches


@pytest.mark.parametrize("arguments", MODES.values(), ids=MODES)
@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 2, 6, 7, 22, 503])
@pytest.mark.parametrize("make_lengths", [sentence_lengths, pair_lengths])
def test_every_row_counts_once_and_all_ranks_make_as_many_steps(
    arguments: dict[str, Any], replicas: int, rows: int, make_lengths: Callable[[int], np.ndarray]
):
    lengths = make_lengths(rows)
    steps = set()
    for epoch in range(4):
        ranks = epochs(lengths, replicas, epoch, **arguments)
        counted = [row for own in ranks for chosen in own if chosen.counted for row in chosen.rows]
        assert sorted(counted) == list(range(rows))
        steps |= {len(own) for own in ranks}
        assert all(chosen.rows for own in ranks for chosen in own)
        if rows >= 22:
            assert all(chosen.counted for own in ranks for chosen in own), "enough rows: none need be repeated"
    assert len(steps) == 1, "as many batches on every rank and in every epoch"


@pytest.mark.parametrize("rows", [22, 503])
@pytest.mark.parametrize("replicas", [1, 2])
def test_batches_keep_the_limits(rows: int, replicas: int):
    lengths = sentence_lengths(rows)
    for own in epochs(lengths, replicas, 0, batch_size=7):
        assert all(len(chosen.rows) <= 7 for chosen in own)
        if rows == 503:
            assert all(len(chosen.rows) >= 6 for chosen in own), "rows are spread evenly, no batch is nearly empty"
    for own in epochs(lengths, replicas, 1, max_tokens=97):
        for chosen in own:
            assert len(chosen.rows) * round_time(int(lengths[chosen.rows].max())) <= 97 or len(chosen.rows) == 1


def test_an_order_that_needs_more_of_the_budget_than_foreseen_still_has_as_many_batches():
    lengths = np.array([1, 50] * 40)
    counts = set()
    for epoch in range(50):
        (own,) = epochs(lengths, 1, epoch, max_tokens=100, pool=1)
        assert sorted(row for chosen in own for row in chosen.rows) == list(range(80))
        counts.add(len(own))
    assert len(counts) == 1


def test_a_row_longer_than_the_budget_is_a_batch_of_its_own():
    (own,) = epochs(np.array([3, 200, 5, 2]), 1, 0, max_tokens=20)
    assert [1] in [chosen.rows for chosen in own]


def test_order_depends_on_seed_and_epoch_only():
    lengths = sentence_lengths(101)
    assert epochs(lengths, 2, 5) == epochs(lengths, 2, 5)
    assert epochs(lengths, 2, 5) != epochs(lengths, 2, 6)
    assert epochs(lengths, 2, 5) != epochs(lengths, 2, 5, seed=1)


def test_evaluation_has_the_longest_rows_first_in_every_epoch():
    lengths = sentence_lengths(101)
    ((*batches,),) = epochs(lengths, 1, 0, shuffle=False)
    order = [row for chosen in batches for row in chosen.rows]
    assert lengths[order].tolist() == sorted(lengths, reverse=True)
    assert epochs(lengths, 1, 3, shuffle=False) == [batches]


@pytest.mark.parametrize("arguments", [{"batch_size": 7}, {"max_tokens": 97}])
def test_ranks_have_batches_of_similar_lengths_at_each_step(arguments: dict[str, Any]):
    lengths = sentence_lengths(5003)
    longest = [
        [lengths[chosen.rows].max() for chosen in own] for own in epochs(lengths, 2, 0, **{"pool": 50} | arguments)
    ]
    first, second = map(np.array, longest)
    apart = np.abs(first - second).sum() / np.maximum(first, second).sum()
    shuffled = np.abs(first - second[::-1]).sum() / np.maximum(first, second).sum()
    assert apart < shuffled / 3


def test_ranks_take_turns_with_the_longer_batch():
    lengths = sentence_lengths(5003)
    first, second = (np.array([lengths[chosen.rows].max() for chosen in own]) for own in epochs(lengths, 2, 0, pool=50))
    assert 0.4 < np.mean((first > second)[first != second]) < 0.6


def test_goes_on_from_a_batch_once():
    sampler = BucketSampler(sentence_lengths(53), batch_size=5, shuffle=True)
    whole = list(sampler)
    sampler.first = 4
    assert list(sampler) == whole[4:]
    assert list(sampler) == whole
    assert len(sampler) == 11


def test_pools_leave_little_padding():
    lengths = sentence_lengths(12544).clip(1, 160)
    pooled = BucketSampler(lengths, shuffle=True).padding_share()
    single = BucketSampler(lengths, shuffle=True, pool=1).padding_share()
    assert pooled < 0.07 < 0.4 < single
    batches = BucketSampler(lengths, shuffle=True).batches(0)
    padded = sum(len(rows) * round_time(int(lengths[rows].max())) for rows, _ in batches)
    assert pooled == pytest.approx(1 - lengths.sum() / padded)


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_budget_counts_both_sides(shuffle: bool):
    lengths = pair_lengths(503)
    (own,) = epochs(lengths, 1, 1, max_tokens=193, shuffle=shuffle)
    rows = 0
    for chosen in own:
        longest = lengths[chosen.rows].max(0)
        steps = len(chosen.rows) * (round_time(int(longest[0])) + round_time(int(longest[1])))
        assert steps <= 193 or len(chosen.rows) == 1
        rows += len(chosen.rows)
    assert rows == 503
    assert lengths.sum() / 193 < len(own) < 2 * lengths.sum() / 193, "batches are well filled"


def test_one_side_in_a_column_is_one_side():
    lengths = sentence_lengths(503)
    for arguments in MODES.values():
        assert epochs(lengths[:, None], 2, 3, **arguments) == epochs(lengths, 2, 3, **arguments)


def test_rows_of_a_batch_are_alike_on_both_sides():
    lengths = pair_lengths(12544).clip(1, 160)
    arguments: dict[str, Any] = {"shuffle": True, "batch_size": 32}
    both = BucketSampler(lengths, **arguments)
    padded = np.zeros(2)
    for rows, _ in both.batches(0):
        padded += len(rows) * np.array([round_time(int(longest)) for longest in lengths[rows].max(0)])
    assert both.padding_share() == pytest.approx(1 - lengths.sum() / padded.sum())

    def share(sort_by: np.ndarray) -> float:
        batches = [lengths[rows] for rows, _ in BucketSampler(sort_by, **arguments).batches(0)]
        return 1 - lengths.sum() / sum(len(batch) * batch.max(0).sum() for batch in batches)

    assert both.padding_share() < 0.15 < share(lengths.sum(1))
    assert both.padding_share() < share(lengths[:, 0])


def test_rows_that_take_no_part_are_in_no_batch():
    lengths = pair_lengths(101)
    taking_part = np.flatnonzero(lengths[:, 0] % 3)
    for arguments in MODES.values():
        (own,) = epochs(lengths, 1, 2, rows=taking_part, **arguments)
        assert sorted(row for chosen in own for row in chosen.rows) == taking_part.tolist()
    chosen = BucketSampler(lengths, rows=taking_part)
    assert chosen.padding_share() == BucketSampler(lengths[taking_part]).padding_share()
    whole = list(chosen)
    chosen.first = 2
    assert list(chosen) == whole[2:]


def test_no_rows_make_no_batches():
    for arguments in MODES.values():
        sampler = BucketSampler(np.zeros(0), **arguments)
        assert list(sampler) == []
        assert sampler.padding_share() == 0


def test_rows_of_length_zero_are_batched():
    (own,) = epochs(np.zeros(11), 1, 0, max_tokens=5)
    assert sorted(row for chosen in own for row in chosen.rows) == list(range(11))
    assert BucketSampler(np.zeros(11)).padding_share() == 1


def test_lightning_takes_it_for_a_distributed_sampler():
    sampler = BucketSampler(sentence_lengths(11))
    assert isinstance(sampler, DistributedSampler)
    assert (sampler.num_replicas, sampler.rank) == (1, 0)


@pytest.mark.parametrize("name", ["batch_size", "max_tokens", "pool"])
def test_refuses_less_than_one(name: str):
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 1, got 0"):
        BucketSampler(sentence_lengths(5), **{name: 0})
