"""Encoded examples as flat columns, and the one collate that makes batches of them, in training and in prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from seqmodels.data.batch import Batch
from seqmodels.data.ragged import Array, Ragged

IGNORED = -100  # a tag that is not scored
UNSEEN = -1  # a class or tag that training did not have: in no loss, and always counted as wrong


@dataclass
class Encoded:
    """The columns of a split, one row an example; those that its schema does not use are None.

    Attributes:
        ids: token ids, int32.
        word_starts: for each word, the place of its first piece in the row, int32.
        forms: for each token a number that equal words share, int64.
        characters: character ids, int32; here a row is a token of the flat `ids`, not an example.
        features: vectors of real numbers, float32.
        targets: ids of tags or of what comes next (Ragged, int32), frames that come next (Ragged, float32), ids of
            classes (rows,) int64, or (rows, labels) float32 of 0 and 1.
        target_ids: ids of a text to be written, its end token included, int32; rows are as long as they are.
    """

    ids: Ragged | None = None
    word_starts: Ragged | None = None
    forms: Ragged | None = None
    characters: Ragged | None = None
    features: Ragged | None = None
    targets: Ragged | Array | None = None
    target_ids: Ragged | None = None

    def steps(self) -> Ragged:
        """Returns the column whose rows are the sequences that the encoder reads."""
        column = self.features if self.ids is None else self.ids
        assert column is not None
        return column

    def sides(self) -> Array:
        """Returns (rows, sides) int64: the steps of each row, and the ids of its target where that is a text."""
        columns = [self.steps(), *([] if self.target_ids is None else [self.target_ids])]
        return np.stack([column.lengths() for column in columns], axis=1)

    def __len__(self) -> int:
        return len(self.steps())


def truncate(encoded: Encoded, max_length: int) -> Encoded:
    """Keeps the first `max_length` steps of each row, the words that begin in them, and the tags of those."""
    steps = encoded.steps()
    if int(steps.lengths().max(initial=0)) <= max_length:
        return encoded
    kept = np.minimum(steps.lengths(), max_length)
    words = kept
    if encoded.word_starts is not None:
        starts = encoded.word_starts
        words = np.array([np.count_nonzero(starts[row] < max_length) for row in range(len(starts))], dtype=np.int64)
    characters = encoded.characters
    if characters is not None:
        inside = _is_within(steps, kept)
        spelled = characters.values[np.repeat(inside, characters.lengths())]
        characters = Ragged(spelled, np.cumsum([0, *characters.lengths()[inside]]))
    return Encoded(
        ids=encoded.ids and _cut(encoded.ids, kept),
        word_starts=encoded.word_starts and _cut(encoded.word_starts, words),
        forms=encoded.forms and _cut(encoded.forms, kept),
        characters=characters,
        features=encoded.features and _cut(encoded.features, kept),
        targets=_cut(encoded.targets, words) if isinstance(encoded.targets, Ragged) else encoded.targets,
        target_ids=encoded.target_ids,
    )


def _cut(column: Ragged, lengths: Array) -> Ragged:
    return Ragged(column.values[_is_within(column, lengths)], np.cumsum([0, *lengths]))


def _is_within(column: Ragged, lengths: Array) -> Array:
    """Tells for each flat value of `column` whether it is among the first `lengths[row]` of its row."""
    before = column.lengths()
    place = np.arange(len(column.values)) - np.repeat(column.offsets[:-1], before)
    inside: Array = place < np.repeat(lengths, before)
    return inside


def round_time(length: int) -> int:
    """Rounds the time axis of a batch up: to itself up to 32 steps, beyond that by at most 1/16 (and 1 for 0).

    Every new shape costs the fused CPU kernel 3.6 ms and 2 MiB for good, so there must not be too many; a fixed
    multiple of 8 would turn a fifth of all steps over sentences into padding. So there are 16 lengths an octave.
    """
    multiple = 1 << max(0, (length - 1).bit_length() - 5)
    return max(1, -(-length // multiple) * multiple)


def collate(encoded: Encoded, rows: Sequence[int], counted: Sequence[bool] | None = None) -> Batch:
    """Makes a batch of the chosen rows.

    Args:
        encoded: the columns.
        rows: which rows, in the order wanted.
        counted: False for rows that only even out the number of batches; None for all True.
    """
    steps = encoded.steps()
    lengths = np.array([steps.offsets[row + 1] - steps.offsets[row] for row in rows], dtype=np.int64)
    time = round_time(int(lengths.max(initial=0)))
    inputs: dict[str, torch.Tensor] = {}
    if encoded.ids is not None:
        inputs["ids"] = torch.from_numpy(encoded.ids.pad(rows, time, 0, np.int64))
    if encoded.features is not None:
        inputs["features"] = torch.from_numpy(encoded.features.pad(rows, time, 0, np.float32))
    if encoded.forms is not None and encoded.characters is not None:
        inputs |= _collate_characters(encoded.forms, encoded.characters, rows, time)
    word_starts = word_lengths = None
    tag_time = time
    if encoded.word_starts is not None:
        starts = encoded.word_starts
        counts = np.array([starts.offsets[row + 1] - starts.offsets[row] for row in rows], dtype=np.int64)
        tag_time = round_time(int(counts.max(initial=0)))
        word_starts = torch.from_numpy(starts.pad(rows, tag_time, 0, np.int64))
        word_lengths = torch.from_numpy(counts)
    targets = None
    if isinstance(encoded.targets, Ragged):
        numbers = encoded.targets.values.ndim > 1  # frames of features, of which padding has none
        fill, dtype = (0, np.float32) if numbers else (IGNORED, np.int64)
        targets = torch.from_numpy(encoded.targets.pad(rows, tag_time, fill, dtype))
    elif encoded.targets is not None:
        targets = torch.from_numpy(encoded.targets[np.asarray(rows)])
    target_lengths = None
    if encoded.target_ids is not None:
        written = encoded.target_ids
        counts = np.array([written.offsets[row + 1] - written.offsets[row] for row in rows], dtype=np.int64)
        targets = torch.from_numpy(written.pad(rows, round_time(int(counts.max(initial=0))), IGNORED, np.int64))
        target_lengths = torch.from_numpy(counts)
    return Batch(
        inputs=inputs,
        lengths=torch.from_numpy(lengths),
        targets=targets,
        word_starts=word_starts,
        word_lengths=word_lengths,
        target_lengths=target_lengths,
        rows=torch.tensor(rows, dtype=torch.int64),
        counted=torch.ones(len(rows), dtype=torch.bool) if counted is None else torch.tensor(counted),
    )


def _collate_characters(forms: Ragged, characters: Ragged, rows: Sequence[int], time: int) -> dict[str, torch.Tensor]:
    """Spells each distinct word of the batch once, and tells for each token which of them it is."""
    places = np.concatenate([np.arange(forms.offsets[row], forms.offsets[row + 1]) for row in rows])
    _, first, inverse = np.unique(forms.values[places], return_index=True, return_inverse=True)
    tokens = places[first] if len(places) else np.zeros(0, dtype=np.int64)
    begins, ends = characters.offsets[tokens], characters.offsets[tokens + 1]
    lengths = ends - begins
    grid = np.arange(round_time(int(lengths.max(initial=0))))
    inside = grid < lengths[:, None]
    spelled = (
        np.where(inside, characters.values[np.where(inside, begins[:, None] + grid, 0)], 0)
        if len(tokens)
        else (np.zeros((1, len(grid))))
    )
    numbers = Ragged(inverse, np.cumsum([0, *(forms.offsets[row + 1] - forms.offsets[row] for row in rows)]))
    return {
        "characters": torch.from_numpy(spelled.astype(np.int64)),
        "character_lengths": torch.from_numpy(lengths if len(tokens) else np.zeros(1, dtype=np.int64)),
        "forms": torch.from_numpy(numbers.pad(range(len(rows)), time, 0, np.int64)),
    }
