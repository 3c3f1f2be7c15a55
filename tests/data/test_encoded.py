from __future__ import annotations

import numpy as np
import pytest
import torch

from seqmodels.data.encoded import IGNORED, Encoded, collate, round_time, truncate
from seqmodels.data.ragged import Ragged

WORDS = [["ab", "c", "ab"], [], ["cab"], ["c"]]
SPELLED = {"ab": [2, 3], "c": [4], "cab": [4, 2, 3]}
FORMS = {"ab": 10**15, "c": -5, "cab": 17}


def tagged(words: list[list[str]] = WORDS) -> Encoded:
    ids = {"ab": 4, "c": 5, "cab": 6}
    return Encoded(
        ids=Ragged.from_rows([[ids[word] for word in row] for row in words], np.int32),
        forms=Ragged.from_rows([[FORMS[word] for word in row] for row in words], np.int64),
        characters=Ragged.from_rows([SPELLED[word] for row in words for word in row], np.int32),
        targets=Ragged.from_rows([list(range(len(row))) for row in words], np.int32),
    )


def pieces() -> Encoded:
    return Encoded(
        ids=Ragged.from_rows([[4, 5, 6, 7, 8], [9]], np.int32),
        word_starts=Ragged.from_rows([[0, 2, 3], [0]], np.int32),
        targets=Ragged.from_rows([[1, 2, 0], [2]], np.int32),
    )


def test_pads_ids_and_tags_on_the_right():
    batch = collate(tagged(), [3, 0, 1])
    assert batch.inputs["ids"].tolist() == [[5, 0, 0], [4, 5, 4], [0, 0, 0]]
    assert batch.lengths.tolist() == [1, 3, 0]
    assert batch.targets.tolist() == [[0, IGNORED, IGNORED], [0, 1, 2], [IGNORED] * 3]
    assert batch.rows.tolist() == [3, 0, 1]
    assert batch.counted.tolist() == [True] * 3
    assert batch.word_starts is None
    assert batch.tag_lengths() is batch.lengths
    assert {value.dtype for value in (batch.inputs["ids"], batch.lengths, batch.targets, batch.rows)} == {torch.int64}


def test_spells_each_distinct_word_once():
    rows = [3, 0, 2, 1]
    inputs = collate(tagged(), rows).inputs
    assert inputs["characters"].shape == (3, 3)
    for place, row in enumerate(rows):
        for step, word in enumerate(WORDS[row]):
            form = int(inputs["forms"][place, step])
            length = int(inputs["character_lengths"][form])
            assert inputs["characters"][form, :length].tolist() == SPELLED[word]
            assert not inputs["characters"][form, length:].any()
    assert inputs["forms"].shape == inputs["ids"].shape


def test_rows_without_steps_make_a_batch():
    batch = collate(tagged(), [1, 1])
    assert batch.inputs["ids"].tolist() == [[0], [0]]
    assert batch.inputs["characters"].shape == (1, 1)
    assert batch.inputs["character_lengths"].tolist() == [0]
    assert batch.lengths.tolist() == [0, 0]


def test_tags_of_pieces_have_the_words_axis():
    batch = collate(pieces(), [1, 0])
    assert batch.word_starts.tolist() == [[0, 0, 0], [0, 2, 3]]
    assert batch.tag_lengths().tolist() == [1, 3]
    assert batch.lengths.tolist() == [1, 5]
    assert batch.targets.tolist() == [[2, IGNORED, IGNORED], [1, 2, 0]]


def test_features_and_classes():
    encoded = Encoded(
        features=Ragged.from_rows([[[1, 2]], [[3, 4], [5, 6]]], np.float32, width=2), targets=np.array([7, 3])
    )
    batch = collate(encoded, [0, 1], [True, False])
    assert batch.inputs["features"].tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]
    assert batch.targets.tolist() == [7, 3]
    assert batch.counted.tolist() == [True, False]
    assert len(encoded) == 2


def test_a_batch_without_targets():
    assert collate(Encoded(ids=pieces().ids), [0]).targets is None


def test_time_is_rounded_by_at_most_a_sixteenth_to_few_lengths():
    lengths = range(1, 2049)
    rounded = [round_time(length) for length in lengths]
    assert rounded[:32] == list(range(1, 33))
    assert all(length <= time <= length * 17 / 16 for length, time in zip(lengths, rounded, strict=True))
    assert len(set(rounded)) == 32 + 16 * 6
    assert round_time(0) == 1


def test_truncates_rows_with_their_tags_and_characters():
    cut = truncate(tagged(), 2)
    whole = tagged([row[:2] for row in WORDS])
    for name in ("ids", "forms", "characters", "targets"):
        np.testing.assert_array_equal(getattr(cut, name).values, getattr(whole, name).values)
        np.testing.assert_array_equal(getattr(cut, name).offsets, getattr(whole, name).offsets)


def test_truncation_keeps_the_words_that_begin_before_it():
    cut = truncate(pieces(), 3)
    assert [cut.ids[row].tolist() for row in range(2)] == [[4, 5, 6], [9]]
    assert [cut.word_starts[row].tolist() for row in range(2)] == [[0, 2], [0]]
    assert [cut.targets[row].tolist() for row in range(2)] == [[1, 2], [2]]


def test_truncation_of_features_keeps_classes():
    encoded = Encoded(features=Ragged.from_rows([[[1, 2]] * 5, []], np.float32, width=2), targets=np.array([7, 3]))
    cut = truncate(encoded, 3)
    assert cut.features.lengths().tolist() == [3, 0]
    assert cut.targets.tolist() == [7, 3]


def test_truncation_leaves_short_rows_alone():
    encoded = pieces()
    assert truncate(encoded, 5) is encoded


@pytest.mark.parametrize("rows", [[0, 2], [2, 0]])
def test_a_row_does_not_depend_on_its_place(rows: list[int]):
    batch = collate(tagged(), rows)
    place = rows.index(0)
    assert batch.inputs["ids"][place, :3].tolist() == [4, 5, 4]
