"""What a data set is like: sizes, lengths, what is unknown, how much of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.encoded import UNSEEN
from seqmodels.data.ragged import Ragged
from seqmodels.data.schema import Schema
from seqmodels.data.store import EncodedSplit


@dataclass(frozen=True)
class DataStatistics:
    """One split in numbers.

    Attributes:
        split: its name.
        rows: number of sequences.
        steps: number of tokens (or of feature vectors).
        shortest, median, p95, longest: lengths in steps; 95% of the rows are no longer than `p95`.
        truncated: rows that were cut to the greatest length allowed.
        unknown_tokens: percent of tokens that training did not have; None for features.
        unknown_characters: percent of characters that training did not have; None where they are not read.
        labels: how often each class or tag occurs, most frequent first.
        unseen: how often each class or tag occurs that training did not have.
        padding: percent of the steps of an epoch that are padding.
        batches: number of batches of this process in an epoch.
    """

    split: str
    rows: int
    steps: int
    shortest: int
    median: float
    p95: float
    longest: int
    truncated: int
    unknown_tokens: float | None
    unknown_characters: float | None
    labels: dict[str, int]
    unseen: dict[str, int]
    padding: float
    batches: int


def describe(split: str, encoded_split: EncodedSplit, schema: Schema, sampler: BucketSampler) -> DataStatistics:
    """Measures a split; padding is computed from the lengths alone, no batch is made."""
    encoded = encoded_split.encoded
    lengths = encoded.steps().lengths()
    steps = int(lengths.sum())
    shortest, median, p95, longest = np.percentile(lengths, [0, 50, 95, 100]).tolist()
    characters = encoded.characters
    return DataStatistics(
        split=split,
        rows=len(encoded),
        steps=steps,
        shortest=int(shortest),
        median=median,
        p95=p95,
        longest=int(longest),
        truncated=encoded_split.truncated,
        unknown_tokens=None if schema.tokens is None else _percent(encoded_split.unknown_tokens, steps),
        unknown_characters=None
        if characters is None
        else _percent(encoded_split.unknown_characters, len(characters.values)),
        labels=_count_labels(encoded_split, schema),
        unseen=dict(encoded_split.unseen.most_common()),
        padding=100 * sampler.padding_share(),
        batches=len(sampler),
    )


def format_table(statistics: Sequence[DataStatistics], schema: Schema | None = None, most: int = 12) -> str:
    """Writes statistics as a table of one line a split, and the most frequent classes or tags beneath it.

    Args:
        statistics: the splits.
        schema: adds the sizes of vocabulary and character set.
        most: how many classes or tags to list.
    """
    shown = list(statistics)
    header = ["split", "rows", "steps", "min", "median", "95%", "max", "padding", "batches"]
    optional = [
        ("unknown tokens", [_with_percent(entry.unknown_tokens) for entry in shown]),
        ("unknown characters", [_with_percent(entry.unknown_characters) for entry in shown]),
        ("unseen labels", [str(sum(entry.unseen.values())) if entry.unseen else "" for entry in shown]),
        ("truncated", [str(entry.truncated) if entry.truncated else "" for entry in shown]),
    ]
    rows = [
        [
            *(entry.split, f"{entry.rows:,}", f"{entry.steps:,}", f"{entry.shortest:,}", f"{entry.median:,.0f}"),
            *(f"{entry.p95:,.0f}", f"{entry.longest:,}", f"{entry.padding:.1f}%", f"{entry.batches:,}"),
        ]
        for entry in shown
    ]
    for name, cells in optional:
        if any(cells):
            header.append(name)
            for row, cell in zip(rows, cells, strict=True):
                row.append(cell)
    return "\n".join([*_aligned([header, *rows]), *_footer(shown, schema, most)])


def _footer(statistics: Sequence[DataStatistics], schema: Schema | None, most: int) -> Iterable[str]:
    if schema is not None and schema.tokens is not None:
        yield f"vocabulary: {schema.tokens.tokenizer.vocab_size:,} ({schema.tokens.tokenizer.kind})" + (
            f", {schema.characters.size:,} characters" if schema.characters else ""
        )
    if schema is not None and schema.features is not None:
        yield f"features: {schema.features.size} a step"
    if statistics and statistics[0].labels:
        labels = statistics[0].labels
        total = max(sum(labels.values()), 1)
        parts = [f"{name} {100 * count / total:.1f}%" for name, count in list(labels.items())[:most]]
        more = f", and {len(labels) - most} more" if len(labels) > most else ""
        yield f"{len(labels)} labels in {statistics[0].split}: {', '.join(parts)}{more}"
    for entry in statistics:
        if entry.unseen:
            parts = [f"{name} ({count}x)" for name, count in list(entry.unseen.items())[:most]]
            yield f"labels of {entry.split} that training does not have, always counted wrong: {', '.join(parts)}"


def _count_labels(encoded_split: EncodedSplit, schema: Schema) -> dict[str, int]:
    targets = encoded_split.encoded.targets
    if schema.target is None or targets is None:
        return {}
    names = schema.target.names
    if schema.target.kind == "labels":
        counts = np.asarray(targets).sum(0).astype(np.int64)
    else:
        ids = targets.values if isinstance(targets, Ragged) else targets
        counts = np.bincount(ids[ids > UNSEEN], minlength=len(names))  # IGNORED is below UNSEEN
    order = np.argsort(-counts, kind="stable")
    return {names[place]: int(counts[place]) for place in order if counts[place]}


def _percent(part: int, whole: int) -> float:
    return 100 * part / max(whole, 1)


def _with_percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}%"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join([row[0].ljust(len(first)), *others])
