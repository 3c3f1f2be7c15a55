"""Contiguous streams: every token once, in order, each stream to itself; resume; processes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from seqmodels.data.encoded import IGNORED
from seqmodels.data.ragged import Ragged
from seqmodels.data.streams import StreamDataset, WindowSampler

END = 3


def corpus(lengths=(5, 1, 7, 11, 2, 13, 3)):
    rows = []
    following = itertools.count(10)
    for length in lengths:
        rows.append([next(following) for _ in range(length - 1)] + [END])
    return Ragged.from_rows(rows, np.int32)


def batches(ids, sampler):
    dataset = StreamDataset(ids, end_id=END, window=sampler.window)
    return [dataset[window] for window in sampler]


def rows_of(found):
    """Returns what each stream read and predicted, from all windows."""
    count = found[0].size
    read, predicted = [[] for _ in range(count)], [[] for _ in range(count)]
    for batch in found:
        for row, length in enumerate(batch.lengths.tolist()):
            read[row] += batch.inputs["ids"][row, :length].tolist()
            predicted[row] += batch.targets[row, :length].tolist()
            assert (batch.targets[row, length:] == IGNORED).all()
    return read, predicted


@pytest.mark.parametrize("streams", [1, 2, 3, 5])
@pytest.mark.parametrize("window", [1, 4, 7, 100])
def test_every_token_is_predicted_once_in_order(streams, window):
    ids = corpus()
    read, predicted = rows_of(batches(ids, WindowSampler(ids.offsets, streams=streams, window=window)))
    assert [token for row in predicted for token in row] == ids.values.tolist()
    assert [token for row in read for token in row] == [END, *ids.values.tolist()[:-1]]
    assert max(map(len, read)) - min(map(len, read)) <= 1


def test_windows_follow_one_another_and_only_the_first_begins_anew():
    ids = corpus()
    found = batches(ids, WindowSampler(ids.offsets, streams=3, window=4))
    assert found[0].resets.all()
    assert not any(batch.resets.any() for batch in found[1:])
    assert all(batch.inputs["ids"].shape[1] == 4 for batch in found[:-1])


@pytest.mark.parametrize("streams", [4, 5])
def test_processes_weigh_as_many_steps_as_they_read(streams):
    ids = corpus()
    samplers = [
        WindowSampler(ids.offsets, streams=streams, window=4, reset_at_documents=True, num_replicas=3, rank=rank)
        for rank in range(3)
    ]
    weights = []
    for shared in zip(*(batches(ids, sampler) for sampler in samplers), strict=True):
        steps = [int(batch.lengths.sum()) for batch in shared]
        assert [batch.weight for batch in shared] == pytest.approx([3 * count / sum(steps) for count in steps])
        weights += [batch.weight for batch in shared]
    assert 0 in weights
    (alone,) = {batch.weight for batch in batches(ids, WindowSampler(ids.offsets, streams=streams, window=4))}
    assert alone == 1


def test_documents_begin_anew():
    ids = corpus()
    sampler = WindowSampler(ids.offsets, streams=2, window=4, reset_at_documents=True)
    found = batches(ids, sampler)
    _read, predicted = rows_of(found)
    assert [token for row in predicted for token in row] == ids.values.tolist()
    starts = {int(ids.values[start]) for start in ids.offsets[:-1]} | {int(ids.values[sampler.layout.bounds[1]])}
    begun = {
        int(batch.targets[row, 0]) for batch in found for row in range(2) if batch.resets[row] and batch.lengths[row]
    }
    assert begun == starts
    for batch in found:  # a document never begins within a window
        for row, length in enumerate(batch.lengths.tolist()):
            assert not set(batch.targets[row, 1:length].tolist()) & (starts - {END})
    assert len(found) == len(sampler)


def test_random_windows_are_as_many_in_every_epoch_and_differ():
    ids = corpus((4_001,))
    sampler = WindowSampler(ids.offsets, streams=2, window=35, random_windows=True, seed=7)
    lengths = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        found = batches(ids, sampler)
        assert len(found) == len(sampler)
        assert [token for row in rows_of(found)[1] for token in row] == ids.values.tolist()
        assert [batch.length_ratio for batch in found] == [batch.inputs["ids"].shape[1] / 35 for batch in found]
        lengths.append([batch.inputs["ids"].shape[1] for batch in found])
    assert len({tuple(row) for row in lengths}) == 3
    assert len(set(lengths[0])) > 5
    assert 25 < np.mean(lengths[0]) < 40


def test_some_random_windows_are_half_as_long():
    sampler = WindowSampler(np.array([0, 200_001]), streams=2, window=70, random_windows=True)
    lengths = np.array([window.length for window in sampler])
    assert 0.03 < (lengths < 53).mean() < 0.07
    assert 4 < lengths[lengths >= 53].std() < 6
    assert abs(lengths[lengths < 53][:-1].mean() - 35) < 4


def test_goes_on_in_the_middle():
    ids = corpus((401,))
    sampler = WindowSampler(ids.offsets, streams=3, window=7, random_windows=True)
    sampler.set_epoch(2)
    whole = list(sampler)
    sampler.first = 5
    rest = list(sampler)
    assert len(rest) == len(whole) - 5
    assert all((one.begins == two.begins).all() for one, two in zip(rest, whole[5:], strict=True))
    assert len(list(sampler)) == len(whole)


@pytest.mark.parametrize(("streams", "replicas"), [(6, 2), (6, 3), (5, 2), (1, 2), (1, 3)])
def test_processes_own_whole_streams(streams, replicas):
    ids = corpus()
    alone = rows_of(batches(ids, WindowSampler(ids.offsets, streams=streams, window=3)))[1]
    shared, windows = [], set()
    for rank in range(replicas):
        sampler = WindowSampler(ids.offsets, streams=streams, window=3, num_replicas=replicas, rank=rank)
        found = batches(ids, sampler)
        windows.add(len(found))
        counted = found[0].counted.tolist()
        rows = rows_of(found)[1]
        assert all(not row for row, counts in zip(rows, counted, strict=True) if not counts)
        shared += [row for row, counts in zip(rows, counted, strict=True) if counts]
    assert shared == alone
    assert len(windows) == 1


def test_moving_a_batch_keeps_what_is_its_own():
    ids = corpus()
    batch = batches(ids, WindowSampler(ids.offsets, streams=3, window=4))[0]
    moved = batch.to("cpu").select(torch.tensor([2, 0]))
    assert type(moved) is type(batch)
    assert moved.length_ratio == 1.0
    assert moved.targets.tolist() == batch.targets[[2, 0]].tolist()
