from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqmodels.data.ragged import Ragged, RaggedWriter

ROWS = [[3, 1, 2], [], [7], [5, 5]]


def test_rows_lengths_and_padding():
    ragged = Ragged.from_rows(ROWS, np.int32)
    assert len(ragged) == 4
    assert [row.tolist() for row in (ragged[number] for number in range(4))] == ROWS
    assert ragged.lengths().tolist() == [3, 0, 1, 2]
    assert ragged.pad([3, 1, 0], 5, -100, np.int64).tolist() == [
        [5, 5, -100, -100, -100],
        [-100] * 5,
        [3, 1, 2, -100, -100],
    ]
    assert ragged.pad([], 5, 0, np.int64).shape == (0, 5)


def test_rows_of_vectors():
    ragged = Ragged.from_rows([[[1.0, 2.0, 3.0]], []], np.float32, width=3)
    assert ragged.values.shape == (1, 3)
    assert ragged.pad([1, 0], 2, 0, np.float32).tolist() == [[[0] * 3] * 2, [[1, 2, 3], [0, 0, 0]]]


@pytest.mark.parametrize("width", [None, 3])
def test_writer_joins_pieces_in_a_file(tmp_path: Path, width: int | None):
    rows = [np.random.default_rng(length).normal(size=(length, *([width] if width else []))) for length in (2, 0, 5, 3)]
    writer = RaggedWriter(tmp_path / "column")
    writer.append(Ragged.from_rows(rows[:1], np.float32, width))
    writer.append(Ragged.from_rows(rows[1:], np.float32, width))
    joined, expected = writer.finish(), Ragged.from_rows(rows, np.float32, width)
    assert isinstance(joined.values, np.memmap)
    np.testing.assert_array_equal(joined.values, expected.values)
    np.testing.assert_array_equal(joined.offsets, expected.offsets)


def test_writer_of_nothing_gives_rows_of_length_zero(tmp_path: Path):
    writer = RaggedWriter(tmp_path / "column")
    writer.append(Ragged.from_rows([[], []], np.int32))
    assert writer.finish().pad([0, 1], 1, 0, np.int64).tolist() == [[0], [0]]
