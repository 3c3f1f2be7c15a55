"""A batch: padded tensors with their lengths, as every network, task and predictor takes them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

Self = TypeVar("Self", bound="Batch")


@dataclass
class Batch:
    """Sequences of one batch, right padded.

    Attributes:
        inputs: what the embedder reads, by name: `ids` (batch, time) int64; `characters` (forms, characters) int64 of
            the distinct word forms, with `character_lengths` (forms,) and `forms` (batch, time), each token's row in
            them; `features` (batch, time, size) float32.
        lengths: (batch,) int64, the real steps of each row.
        targets: one class (batch,) int64; several classes (batch, labels) float32 of 0 and 1; tags (batch, words)
            int64; what comes next, ids (batch, time) int64 or frames (batch, time, size) float32; or a text to be
            written, ids (batch, target_time) int64 with the end token as the last. None where there are none.
            `IGNORED` marks tags and ids that are not scored, `UNSEEN` names not in training.
        word_starts: (batch, words) int64, the step of each word's first piece; None where a step is a word.
        word_lengths: (batch,) int64, the words of each row; None where a step is a word.
        target_lengths: (batch,) int64, the real ids of each row of `targets`, where these are a text of their own to
            be written, its end token included; None where targets belong to the row or its steps.
        rows: (batch,) int64, the number of each row in its file.
        counted: (batch,) bool, False for a row repeated only to give every process equally many batches.
    """

    inputs: dict[str, Tensor]
    lengths: Tensor
    targets: Tensor | None
    word_starts: Tensor | None
    word_lengths: Tensor | None
    target_lengths: Tensor | None
    rows: Tensor
    counted: Tensor

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.lengths.size(0)

    def tag_lengths(self) -> Tensor:
        """Returns (batch,) int64: how many tags each row has, words where pieces are read and steps elsewhere."""
        return self.lengths if self.word_lengths is None else self.word_lengths

    def to(self: Self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Returns the batch with every tensor on `device`."""
        return self._map(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self: Self) -> Self:
        """Returns the batch in page-locked memory, from where copies to a GPU overlap with its work."""
        return self._map(lambda value: value.pin_memory())

    def copy(self: Self) -> Self:
        """Returns the batch with a copy of every tensor."""
        return self._map(Tensor.clone)

    def select(self: Self, rows: Tensor) -> Self:
        """Returns the batch of the chosen `rows` (n,) int64 only."""
        shared = ("characters", "character_lengths")  # distinct forms: no axis of rows
        kept = self._map(lambda value: value[rows.to(value.device)], skip=shared)
        kept.inputs |= {name: self.inputs[name] for name in shared if name in self.inputs}
        return kept

    def _map(self: Self, function: Callable[[Tensor], Tensor], skip: Collection[str] = ()) -> Self:
        inputs = {name: function(value) for name, value in self.inputs.items() if name not in skip}
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "inputs"}
        mapped: dict[str, Any] = {
            name: function(value) if isinstance(value, Tensor) else value for name, value in values.items()
        }
        return replace(self, inputs=inputs, **mapped)
