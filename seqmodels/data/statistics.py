"""What a data set is like: sizes, lengths, what is unknown, how much of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.encoded import UNSEEN
from seqmodels.data.ragged import Array, Ragged
from seqmodels.data.schema import Schema
from seqmodels.data.store import EncodedSplit

_OPTIONAL = ("unknown tokens", "unknown characters", "unseen labels", "truncated", "left out")  # where any has it
_COLUMNS = ("split", "rows", "steps", "min", "median", "95%", "max", "padding", "batches", *_OPTIONAL)


@dataclass(frozen=True)
class TargetStatistics:
    """The texts to be written of one split, in ids with the end token of each.

    Attributes:
        steps: number of ids.
        shortest, median, p95, longest: lengths; 95% of the rows are no longer than `p95`.
        unknown_tokens: percent of ids that training did not have.
    """

    steps: int
    shortest: int
    median: float
    p95: float
    longest: int
    unknown_tokens: float


@dataclass(frozen=True)
class DataStatistics:
    """One split in numbers.

    Attributes:
        split: its name.
        rows: number of sequences; of training pairs, those that are not left out.
        steps: number of tokens (or of feature vectors).
        shortest, median, p95, longest: lengths in steps; 95% of the rows are no longer than `p95`.
        truncated: rows that were cut to the greatest length allowed.
        unknown_tokens: percent of tokens that training did not have; None for features.
        unknown_characters: percent of characters that training did not have; None where they are not read.
        labels: how often each class or tag occurs, most frequent first.
        unseen: how often each class or tag occurs that training did not have.
        padding: percent of the steps of an epoch that are padding, those of the texts to be written among them.
        batches: number of batches of this process in an epoch.
        target: the texts to be written; None where there are none.
        dropped: how many training pairs are left out, by the reason.
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
    target: TargetStatistics | None = None
    dropped: dict[str, int] = field(default_factory=dict)


def describe(split: str, encoded_split: EncodedSplit, schema: Schema, sampler: BucketSampler) -> DataStatistics:
    """Measures a split; padding is computed from the lengths alone, no batch is made."""
    encoded = encoded_split.encoded
    sides = encoded.sides() if encoded_split.kept is None else encoded.sides()[encoded_split.kept]
    shortest, median, p95, longest = np.percentile(sides[:, 0], [0, 50, 95, 100]).tolist()
    characters = encoded.characters
    return DataStatistics(
        split=split,
        rows=len(sides),
        steps=int(sides[:, 0].sum()),
        shortest=int(shortest),
        median=median,
        p95=p95,
        longest=int(longest),
        truncated=encoded_split.truncated,
        unknown_tokens=None
        if schema.tokens is None
        else _percent(encoded_split.unknown_tokens, len(encoded.steps().values)),
        unknown_characters=None
        if characters is None
        else _percent(encoded_split.unknown_characters, len(characters.values)),
        labels=_count_labels(encoded_split, schema),
        unseen=dict(encoded_split.unseen.most_common()),
        padding=100 * sampler.padding_share(),
        batches=len(sampler),
        target=None if encoded.target_ids is None else _describe_target(encoded_split, encoded.target_ids, sides[:, 1]),
        dropped=dict(encoded_split.dropped),
    )


def _describe_target(encoded_split: EncodedSplit, target_ids: Ragged, lengths: Array) -> TargetStatistics:
    shortest, median, p95, longest = np.percentile(lengths, [0, 50, 95, 100]).tolist()
    return TargetStatistics(
        steps=int(lengths.sum()),
        shortest=int(shortest),
        median=median,
        p95=p95,
        longest=int(longest),
        unknown_tokens=_percent(encoded_split.unknown_target_tokens, len(target_ids.values)),
    )


def format_table(statistics: Sequence[DataStatistics], schema: Schema | None = None, most: int = 12) -> str:
    """Writes statistics as a table, and the most frequent classes or tags beneath it.

    A split has one line; one more, `target`, where texts are to be written.

    Args:
        statistics: the splits.
        schema: adds the sizes of vocabulary and character set.
        most: how many classes or tags to list.
    """
    shown = list(statistics)
    lines = [line for entry in shown for line in _lines(entry)]
    names = [name for name in _COLUMNS if name not in _OPTIONAL or any(line.get(name) for line in lines)]
    rows = [[line.get(name, "") for name in names] for line in lines]
    return "\n".join([*_aligned([names, *rows]), *_footer(shown, schema, most)])


def _lines(entry: DataStatistics) -> Iterable[dict[str, str]]:
    """Yields the cells of the lines of a split, by column."""
    yield {
        "split": entry.split,
        "rows": f"{entry.rows:,}",
        **_length_cells(entry),
        "padding": f"{entry.padding:.1f}%",
        "batches": f"{entry.batches:,}",
        "unknown tokens": _with_percent(entry.unknown_tokens),
        "unknown characters": _with_percent(entry.unknown_characters),
        "unseen labels": str(sum(entry.unseen.values())) if entry.unseen else "",
        "truncated": str(entry.truncated) if entry.truncated else "",
        "left out": f"{sum(entry.dropped.values()):,}" if entry.dropped else "",
    }
    if entry.target is not None:
        unknown = _with_percent(entry.target.unknown_tokens)
        yield {"split": "  target", **_length_cells(entry.target), "unknown tokens": unknown}


def _length_cells(entry: DataStatistics | TargetStatistics) -> dict[str, str]:
    return {
        "steps": f"{entry.steps:,}",
        "min": f"{entry.shortest:,}",
        "median": f"{entry.median:,.0f}",
        "95%": f"{entry.p95:,.0f}",
        "max": f"{entry.longest:,}",
    }


def _footer(statistics: Sequence[DataStatistics], schema: Schema | None, most: int) -> Iterable[str]:
    if schema is not None and schema.tokens is not None:
        yield f"vocabulary: {schema.tokens.tokenizer.vocab_size:,} ({schema.tokens.tokenizer.kind})" + (
            f", {schema.characters.size:,} characters" if schema.characters else ""
        )
    if schema is not None and schema.target_tokens is not None:
        written = schema.target_tokens.tokenizer
        size = "the same" if schema.shares_vocabulary else f"{written.vocab_size:,} ({written.kind})"
        yield f"target vocabulary: {size}"
    if schema is not None and schema.features is not None:
        yield f"features: {schema.features.size} a step"
    if statistics and statistics[0].labels:
        labels = statistics[0].labels
        total = max(sum(labels.values()), 1)
        parts = [f"{name} {100 * count / total:.1f}%" for name, count in list(labels.items())[:most]]
        more = f", and {len(labels) - most} more" if len(labels) > most else ""
        yield f"{len(labels)} labels in {statistics[0].split}: {', '.join(parts)}{more}"
    for entry in statistics:
        if entry.dropped:
            parts = [f"{count:,} {reason}" for reason, count in entry.dropped.items()]
            yield f"pairs of {entry.split} that are left out: {', '.join(parts)}"
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
