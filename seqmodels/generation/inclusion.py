"""Phrases that a hypothesis must include: how far each has come, and a beam shared among the stages.

Here `phrases` are the sequences of ids, and the *stage* of a hypothesis is how many of their ids it has: those of the
phrases that it includes, and of the one among the others that it is furthest in.

Reference: Post and Vilar (2018), Fast lexically constrained decoding with dynamic beam allocation. As there, the beam
is divided evenly among the stages; a phrase that is begun and left may be begun again, and phrases may overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqmodels.errors import ConfigurationError
from seqmodels.generation.id_lists import NO_ID, check_ids

Phrases = Sequence[Sequence[int]]


@dataclass
class Inclusion:
    """Follows the phrases through the hypotheses of a beam, one row each.

    Args:
        phrases: (rows, phrases, longest) int64, -1 beyond each phrase.
        lengths: (rows, phrases) int64, 0 where a row has fewer.
        met: (rows, phrases) bool, whether the phrase is included.
        begun: (rows, phrases, longest) bool, whether the last n ids are the first n of the phrase, for n from 0.
    """

    phrases: Tensor
    lengths: Tensor
    met: Tensor
    begun: Tensor

    @classmethod
    def start(cls, phrases: Sequence[Phrases], device: torch.device) -> Inclusion:
        """Returns the state of rows to which nothing has been written."""
        unique = [sorted({tuple(phrase) for phrase in row}) for row in phrases]
        count = max(map(len, unique), default=0)
        longest = max([1, *(len(phrase) for row in unique for phrase in row)])
        filled = [[*row, *[()] * (count - len(row))] for row in unique]
        padded = [[[*phrase, *[NO_ID] * (longest - len(phrase))] for phrase in row] for row in filled]
        ids = torch.tensor(padded, dtype=torch.int64, device=device).view(len(unique), count, longest)
        lengths = (ids != NO_ID).sum(2)
        begun = torch.zeros_like(ids, dtype=torch.bool)
        begun[:, :, 0] = True
        return cls(ids, lengths, lengths == 0, begun)

    def select(self, rows: Tensor) -> Inclusion:
        """Returns the rows that `rows` (n,) names."""
        return Inclusion(self.phrases[rows], self.lengths[rows], self.met[rows], self.begun[rows])

    def next_ids(self) -> Tensor:
        """Returns the id (rows, phrases) with which each phrase goes on; -1 where it is included already."""
        steps = torch.arange(self.begun.size(2), device=self.begun.device)
        furthest = (self.begun * steps).amax(2, keepdim=True)
        return self.phrases.gather(2, furthest).squeeze(2).masked_fill(self.met, NO_ID)

    def stages(self, ids: Tensor) -> Tensor:
        """Returns the stage (rows, candidates) int64 of each row if one of `ids` (rows, candidates) were written."""
        hits = self.begun.unsqueeze(1) & (self.phrases.unsqueeze(1) == ids[:, :, None, None])
        steps = torch.arange(1, hits.size(3) + 1, device=hits.device)
        reached = (hits * steps).amax(3)  # (rows, candidates, phrases)
        met = self.met.unsqueeze(1) | (reached == self.lengths.unsqueeze(1))
        return (met * self.lengths.unsqueeze(1)).sum(2) + reached.masked_fill(met, 0).amax(2)

    def write(self, ids: Tensor) -> None:
        """Takes note of the id (rows,) that is written to each row."""
        hits = self.begun & (self.phrases == ids[:, None, None])  # at n: the first n + 1 ids of the phrase are there
        last = (self.lengths - 1).clamp(min=0).unsqueeze(2)
        self.met = self.met | hits.gather(2, last).squeeze(2)
        self.begun = torch.cat([torch.ones_like(hits[:, :, :1]), hits[:, :, :-1]], 2)

    @property
    def complete(self) -> Tensor:
        """Tells (rows,) which rows include all their phrases."""
        return self.met.all(1)


def share_among_stages(values: Tensor, stages: Tensor, count: int) -> Tensor:
    """Chooses candidates evenly from all stages.

    First the best of each stage, the most advanced stage before the others, then the second best of each, and so on:
    a stage with few candidates leaves its share to the others.

    Args:
        values: (rows, candidates), -inf for those that are impossible, which come last.
        stages: (rows, candidates) int64.
        count: how many to choose.

    Returns:
        indices (rows, count) of the candidates, in the order in which they are chosen.
    """
    values, order = values.sort(dim=1, descending=True, stable=True)
    stages = stages.gather(1, order)
    same = (stages.unsqueeze(2) == stages.unsqueeze(1)).tril(-1)  # (rows, candidate, better candidate)
    turn = same.sum(2).masked_fill(values == -torch.inf, values.size(1))
    highest = int(stages.max())
    key = turn * (highest + 1) + highest - stages
    return order.gather(1, key.sort(dim=1, stable=True).indices[:, :count])


def check_phrases(
    must_include: Sequence[Phrases], *, eos_id: int | None, vocab_size: int, max_lengths: Sequence[int]
) -> None:
    """Checks that phrases can be written.

    Raises:
        ConfigurationError: one is empty, holds the end of sequence or an id that is not in the vocabulary; or those
            of a row are together, with the end of sequence, longer than a hypothesis may be.
    """
    for row, (phrases, max_length) in enumerate(zip(must_include, max_lengths, strict=False)):
        for phrase in phrases:
            check_ids(f"must_include, row {row}", phrase, vocab_size)
            if not phrase or eos_id in phrase:
                raise ConfigurationError(
                    f"must_include, row {row}: a phrase is one id or more, without the end of sequence, "
                    f"got {list(phrase)}"
                )
        needed = sum(map(len, {tuple(phrase) for phrase in phrases})) + (eos_id is not None)
        if phrases and needed > max_length:
            raise ConfigurationError(
                f"must_include, row {row}: the phrases need {needed} ids, but max_length is {max_length}; raise it"
            )
