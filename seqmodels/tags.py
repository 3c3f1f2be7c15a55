"""Tags that mark chunks of tokens (BIO, IOBES), the chunks they mark, and which tag may follow which.

BIO (also called IOB2): B- begins a chunk, I- is inside, O outside. IOBES: also, E- ends a chunk and S- is a chunk
of one token. On reading, BILOU's L- and U- are taken for E- and S-, and the underscore for O. A tag without prefix,
such as a part of speech, marks no chunk; bare `B`, `I`, `E`, `S` mark chunks whose type is the empty string.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from seqmodels.errors import ConfigurationError, DataError, did_you_mean

Scheme = Literal["bio", "iobes"]

_PREFIXES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}
_OUTSIDE = ("O", "")


class Span(NamedTuple):
    """A chunk: its type, and the tokens [start, end) that it covers."""

    type: str
    start: int
    end: int


class Constraints(NamedTuple):
    """Which tag may begin a sequence (tags,), follow another (tags before, tags after), and end one (tags,): bool."""

    start: Tensor
    transitions: Tensor
    end: Tensor


def split_tag(tag: str) -> tuple[str, str]:
    """Splits a tag into its prefix (`B`, `I`, `E`, `S` or `O`) and its type; a tag that marks no chunk is `O`."""
    prefix, hyphen, kind = tag.partition("-")
    if prefix in _PREFIXES and (hyphen or prefix in "BIES"):
        return _PREFIXES[prefix], kind
    return _OUTSIDE


def marks_chunks(tag_names: Iterable[str]) -> bool:
    """Tells whether all the tags are O or mark chunks, and some do."""
    names = list(tag_names)
    return all(_is_outside(name) or split_tag(name) != _OUTSIDE for name in names) and not all(map(_is_outside, names))


def odd_tags(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns the tags that mark no chunk of a type, with their counts, where nearly all others do; else none.

    Nearly all are 90% of the occurrences that are not O, some of them with the prefix B: one mistyped tag, as `b-LOC`,
    `X-LOC` or `B-` among others, would turn chunks into tags of which no scheme is known.

    Args:
        counts: how often each tag occurs.
    """
    inside = {tag: count for tag, count in counts.items() if not _is_outside(tag)}
    typed = {tag for tag in inside if split_tag(tag)[1]}
    odd = {tag: count for tag, count in inside.items() if tag not in typed}
    begins = any(split_tag(tag)[0] == "B" for tag in typed)
    return odd if begins and sum(odd.values()) <= 0.1 * sum(inside.values()) else {}


def detect_scheme(tag_names: Iterable[str]) -> Scheme | None:
    """Names the scheme of a tag set, or None where the tags mark no chunks or are of neither scheme.

    The set alone does not tell BIO from IOB1, in which a chunk may begin with I-; a type with I- but without B-
    does (None), otherwise ask `follows_scheme` of the sequences.
    """
    names = list(tag_names)
    if not marks_chunks(names):
        return None
    parts = {split_tag(name) for name in names}
    if any(prefix in "IE" and ("B", kind) not in parts for prefix, kind in parts):
        return None
    return "iobes" if any(prefix in "ES" for prefix, _ in parts) else "bio"


def follows_scheme(tags: Sequence[str], scheme: Scheme) -> bool:
    """Tells whether a sequence of tags is well formed under the scheme."""
    parts = [_OUTSIDE, *map(split_tag, tags), _OUTSIDE]
    return all(may_follow(before, after, scheme) for before, after in pairwise(parts))


def chunk_starts(before: tuple[str, str], tag: tuple[str, str]) -> bool:
    """Tells whether a chunk starts at `tag`, where `before` stands in front of it (both split).

    Together with `chunk_ends` this is conlleval's rule, under which every sequence of tags, well formed or not,
    marks chunks: a chunk starts at B- and S-, at anything that follows a chunk's E- or S- or O, and wherever the
    type changes.

    Reference:
        Tjong Kim Sang and Buchholz (2000), Introduction to the CoNLL-2000 shared task: chunking; conlleval.pl,
        `startOfChunk`. The script knows no S-, and joins E- with a B- of the same type; these follow the schemes here.
    """
    if tag[0] == "O":
        return False
    return tag[0] in "BS" or before[0] in "OES" or before[1] != tag[1]


def chunk_ends(tag: tuple[str, str], after: tuple[str, str]) -> bool:
    """Tells whether a chunk ends with `tag`, where `after` stands behind it (both split); see `chunk_starts`."""
    return tag[0] != "O" and (after[0] == "O" or chunk_starts(tag, after))


def spans(tags: Sequence[str]) -> list[Span]:
    """Returns the chunks that a sequence of tags marks, in order, by conlleval's rule (see `chunk_starts`)."""
    parts = [*map(split_tag, tags), _OUTSIDE]
    found = []
    start, before = 0, _OUTSIDE
    for position, (tag, after) in enumerate(pairwise(parts)):
        if chunk_starts(before, tag):
            start = position
        if chunk_ends(tag, after):
            found.append(Span(tag[1], start, position + 1))
        before = tag
    return found


def span_tags(chunks: Iterable[Span], length: int, scheme: Scheme) -> list[str]:
    """Writes chunks that do not overlap as `length` tags of the scheme; the inverse of `spans`."""
    tags = ["O"] * length
    for kind, start, end in chunks:
        prefixes = ["B", *"I" * (end - start - 1)]
        if scheme == "iobes":
            prefixes[-1] = "S" if end - start == 1 else "E"
        tags[start:end] = [f"{prefix}-{kind}" if kind else prefix for prefix in prefixes]
    return tags


def bio_to_iobes(tags: Sequence[str]) -> list[str]:
    """Rewrites BIO tags (or IOB1, or malformed ones, which are read by conlleval's rule) as IOBES.

    Raises:
        DataError: a tag is neither O nor marks a chunk.
    """
    _check_chunk_tags(tags)
    return span_tags(spans(tags), len(tags), "iobes")


def iobes_to_bio(tags: Sequence[str]) -> list[str]:
    """Rewrites IOBES or BILOU tags (or IOB1, or malformed ones, which are read by conlleval's rule) as BIO.

    Raises:
        DataError: a tag is neither O nor marks a chunk.
    """
    _check_chunk_tags(tags)
    return span_tags(spans(tags), len(tags), "bio")


def may_follow(before: tuple[str, str], after: tuple[str, str], scheme: Scheme) -> bool:
    """Tells whether tag `after` may follow tag `before` (both split); `("O", "")` stands for either end."""
    continues = after[0] in "IE" and before[0] in "BI" and before[1] == after[1]
    if scheme == "bio":
        return continues or after[0] != "I"
    is_open = before[0] in "BI"
    return continues if is_open else after[0] not in "IE"


def allowed_transitions(tag_names: Sequence[str], scheme: Scheme | None) -> Constraints:
    """Returns which tags may begin a sequence, follow each other and end one, under the scheme.

    Tags that mark no chunk are treated as O; scheme None allows everything.

    Raises:
        ConfigurationError: there is no such scheme.
    """
    if scheme is None:
        count = len(tag_names)
        return Constraints(*(torch.ones(shape, dtype=torch.bool) for shape in ((count,), (count, count), (count,))))
    known = get_args(Scheme)
    if scheme not in known:
        raise ConfigurationError(
            f"unknown tag scheme '{scheme}'; known: {', '.join(known)}{did_you_mean(scheme, known)}; "
            f"tags that mark no chunks have none"
        )
    parts = [split_tag(name) for name in tag_names]
    return Constraints(
        start=torch.tensor([may_follow(_OUTSIDE, tag, scheme) for tag in parts]),
        transitions=torch.tensor([[may_follow(before, tag, scheme) for tag in parts] for before in parts]),
        end=torch.tensor([may_follow(tag, _OUTSIDE, scheme) for tag in parts]),
    )


def _is_outside(tag: str) -> bool:
    return tag in ("O", "_")


def _check_chunk_tags(tags: Sequence[str]) -> None:
    for position, tag in enumerate(tags):
        if not _is_outside(tag) and split_tag(tag) == _OUTSIDE:
            raise DataError(
                f"expected tags that mark chunks, such as B-PER, I-PER and O, found '{tag}' at token {position + 1}; "
                f"tags of another kind have no scheme to convert"
            )
