"""Precision, recall and F1 of the chunks that tags mark, as conlleval counts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from seqmodels.data.encoded import IGNORED, UNSEEN
from seqmodels.masking import lengths_to_mask
from seqmodels.metrics.ratios import f1, ratio
from seqmodels.tags import chunk_ends, chunk_starts, split_tag

UNSEEN_TYPE = "<unseen>"


class TypeScores(NamedTuple):
    """Precision, recall and F1 in [0, 1] of one type of entity, and how many there are in gold and were found."""

    precision: float
    recall: float
    f1: float
    gold: int
    found: int


class EntityScores(Metric):
    """Scores predicted chunks: one is correct if its first token, last token and type are those of a gold chunk.

    What the chunks of a sequence are, well formed or not, is conlleval's rule (`tags.chunk_starts`), in any scheme.
    A gold tag that is `UNSEEN` is wrong; where the tags mark chunks, it makes a chunk of one token, of the type
    `<unseen>`, which none can find. A step whose gold tag is `IGNORED` is left out, as if the sequence lacked it.

    Args:
        tag_names: the name of each tag id.

    Reference:
        Tjong Kim Sang and Buchholz (2000), Introduction to the CoNLL-2000 shared task: chunking; conlleval.pl.
    """

    full_state_update = False
    correct: Tensor
    found: Tensor
    gold: Tensor
    correct_tokens: Tensor
    tokens: Tensor
    starts: Tensor
    ends: Tensor
    types: Tensor

    def __init__(self, tag_names: Sequence[str]) -> None:
        super().__init__()
        # after the tags themselves: the unseen one, and what stands at both ends of a sequence
        parts = [*map(split_tag, tag_names), ("B", UNSEEN_TYPE), split_tag("O")]
        if all(prefix == "O" for prefix, _ in parts[:-2]):
            parts[-2] = split_tag("O")
        self.num_tags = len(tag_names)
        self.type_names = sorted({kind for prefix, kind in parts if prefix != "O"})
        index = {kind: position for position, kind in enumerate(self.type_names)}
        tables = {
            "starts": torch.tensor([[chunk_starts(before, tag) for tag in parts] for before in parts]),
            "ends": torch.tensor([[chunk_ends(tag, after) for after in parts] for tag in parts]),
            "types": torch.tensor([index.get(kind, 0) if prefix != "O" else 0 for prefix, kind in parts]),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)
        for name in ("correct", "found", "gold"):  # chunks of each type
            self.add_state(name, torch.zeros(max(1, len(index)), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("correct_tokens", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("tokens", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, lengths: Tensor) -> None:
        """Counts predicted and gold tag ids (batch, time) int64, of rows of `lengths` (batch,) steps."""
        scored = lengths_to_mask(lengths, targets.size(1)) & (targets != IGNORED)
        self.correct_tokens = self.correct_tokens + ((predictions == targets) & scored).sum()
        self.tokens = self.tokens + scored.sum()

        order = (~scored).to(torch.uint8).argsort(dim=1, stable=True)  # the scored steps to the front
        outside = self.num_tags + 1
        gold = targets.masked_fill(targets == UNSEEN, self.num_tags).masked_fill(~scored, outside).gather(1, order)
        found = predictions.masked_fill(~scored, outside).gather(1, order)
        gold_starts, gold_types, gold_ends = self._chunks(gold)
        found_starts, found_types, found_ends = self._chunks(found)
        agree = gold_starts & found_starts & (gold_types == found_types) & (gold_ends == found_ends)
        self.correct = self.correct.index_add(0, gold_types.flatten(), agree.flatten().long())
        self.found = self.found.index_add(0, found_types.flatten(), found_starts.flatten().long())
        self.gold = self.gold.index_add(0, gold_types.flatten(), gold_starts.flatten().long())

    def _chunks(self, tags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns, for tags (batch, time), where chunks start, each step's type, and the step where its chunk ends."""
        edge = tags.new_full((tags.size(0), 1), self.num_tags + 1)
        before, after = torch.cat([edge, tags[:, :-1]], 1)[:, : tags.size(1)], torch.cat([tags[:, 1:], edge], 1)
        after = after[:, : tags.size(1)]
        steps = torch.arange(tags.size(1), device=tags.device).expand_as(tags)
        ends = steps.masked_fill(~self.ends[tags, after], tags.size(1))
        next_end = ends.flip(1).cummin(1).values.flip(1)  # the first end at or after each step
        return self.starts[before, tags], self.types[tags], next_end

    def compute(self) -> dict[str, Tensor]:
        """Returns `precision`, `recall` and `f1` over all types, and the tokens' `accuracy`, scalars in [0, 1]."""
        correct, found, gold = self.correct.sum(), self.found.sum(), self.gold.sum()
        return {
            "precision": ratio(correct, found),
            "recall": ratio(correct, gold),
            "f1": f1(correct, found, gold),
            "accuracy": ratio(self.correct_tokens, self.tokens),
        }

    def by_type(self) -> dict[str, TypeScores]:
        """Returns the scores of each type that occurs, by name, of all ranks, so that every rank must call it."""
        with self.sync_context(should_sync=not self._is_synced):
            counts = zip(self.type_names, self.correct.tolist(), self.found.tolist(), self.gold.tolist(), strict=False)
        return {name: _scores(*numbers) for name, *numbers in counts if any(numbers)}

    def report(self) -> str:
        """Returns conlleval's report, in percent, of all ranks, so that every rank must call it."""
        with self.sync_context(should_sync=not self._is_synced):
            correct, found, gold = (int(counts.sum()) for counts in (self.correct, self.found, self.gold))
            tokens, correct_tokens = int(self.tokens), int(self.correct_tokens)
        total = _scores(correct, found, gold)
        lines = [
            f"processed {tokens} tokens with {gold} phrases; found: {found} phrases; correct: {correct}.",
            f"accuracy: {100 * correct_tokens / max(1, tokens):6.2f}%; {_percent(total)}",
        ]
        lines += [f"{name:>17}: {_percent(scores)}  {scores.found}" for name, scores in self.by_type().items()]
        return "\n".join(lines)


def _scores(correct: int, found: int, gold: int) -> TypeScores:
    f1_score = 2 * correct / max(1, found + gold)
    return TypeScores(correct / max(1, found), correct / max(1, gold), f1_score, gold, found)


def _percent(scores: TypeScores) -> str:
    return (
        f"precision: {100 * scores.precision:6.2f}%; recall: {100 * scores.recall:6.2f}%; FB1: {100 * scores.f1:6.2f}"
    )
