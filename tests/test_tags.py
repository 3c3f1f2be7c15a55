"""Tags and the chunks that they mark."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from seqmodels.errors import ConfigurationError, DataError
from seqmodels.tags import (
    Span,
    allowed_transitions,
    bio_to_iobes,
    detect_scheme,
    follows_scheme,
    iobes_to_bio,
    marks_chunks,
    odd_tags,
    span_tags,
    spans,
)

IOBES = ["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y", "S-Y"]
BIO = ["O", "B-X", "I-X", "B-Y", "I-Y"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O _ O", []),
        ("B-X I-X O B-Y", [("X", 0, 2), ("Y", 3, 4)]),
        ("B-X B-X I-Y", [("X", 0, 1), ("X", 1, 2), ("Y", 2, 3)]),
        ("I-X I-X O I-X B-X", [("X", 0, 2), ("X", 3, 4), ("X", 4, 5)]),  # IOB1
        ("S-X B-X E-X I-X", [("X", 0, 1), ("X", 1, 3), ("X", 3, 4)]),
        ("U-X B-X L-X", [("X", 0, 1), ("X", 1, 3)]),  # BILOU
        ("B I O B-a-b I-a-b", [("", 0, 2), ("a-b", 3, 5)]),
        ("NOUN VERB -LRB- nmod:poss .", []),
    ],
)
def test_spans(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert spans(tags.split()) == [Span(*span) for span in expected]


@pytest.mark.parametrize(("scheme", "names"), [("bio", BIO), ("iobes", IOBES)])
def test_spans_and_tags_are_inverse_on_well_formed_sequences(scheme, names: list[str]) -> None:
    sequences = [list(tags) for tags in itertools.product(names, repeat=4) if follows_scheme(tags, scheme)]
    assert len(sequences) > 100
    for tags in sequences:
        assert span_tags(spans(tags), len(tags), scheme) == tags


def test_conversion_round_trips() -> None:
    assert bio_to_iobes(["B-X", "I-X", "I-X", "O", "B-Y", "B-Y"]) == ["B-X", "I-X", "E-X", "O", "S-Y", "S-Y"]
    generator = random.Random(0)
    for _ in range(300):
        tags = [generator.choice(IOBES) for _ in range(generator.randrange(9))]
        bio = iobes_to_bio(tags)
        assert follows_scheme(bio, "bio")
        assert spans(bio) == spans(tags)
        iobes = bio_to_iobes(bio)
        assert follows_scheme(iobes, "iobes")
        assert iobes_to_bio(iobes) == bio
        if follows_scheme(tags, "iobes"):
            assert iobes == tags


def test_conversion_mends_by_conlleval_rule() -> None:
    assert iobes_to_bio(["I-X", "E-Y", "I-Y", "_"]) == ["B-X", "B-Y", "B-Y", "O"]
    assert bio_to_iobes(["I-X", "I-X", "O", "I-Y", "B-Y"]) == ["B-X", "E-X", "O", "S-Y", "S-Y"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (BIO, "bio"),
        (IOBES, "iobes"),
        (["O", "B-X"], "bio"),
        (["O", "U-X", "B-X", "L-X"], "iobes"),
        (["O", "B", "I"], "bio"),
        (["O", "I-X", "B-Y", "I-Y"], None),  # IOB1: a chunk of X begins with I-
        (["NOUN", "VERB", "O"], None),
        (["-LRB-", "NNP"], None),
        (["O", "_"], None),
        ([], None),
    ],
)
def test_detect_scheme(names: list[str], expected: str | None) -> None:
    assert detect_scheme(names) == expected


def test_marks_chunks() -> None:
    assert marks_chunks(["O", "I-X"])
    assert not marks_chunks(["O", "I-X", "NOUN"])
    assert not marks_chunks(["O", "_"])


@pytest.mark.parametrize(("scheme", "names"), [("bio", BIO), ("iobes", IOBES)])
def test_allowed_transitions_are_those_of_well_formed_sequences(scheme, names: list[str]) -> None:
    """Against the definition: writing out the spans again must give the same tags."""
    start, transitions, end = allowed_transitions(names, scheme)
    for tags in itertools.product(range(len(names)), repeat=3):
        allowed = start[tags[0]] and end[tags[-1]] and all(transitions[pair] for pair in itertools.pairwise(tags))
        written = [names[tag] for tag in tags]
        assert bool(allowed) == (span_tags(spans(written), 3, scheme) == written)


def test_tags_without_chunks_are_free() -> None:
    for constraints in (allowed_transitions(["NOUN", "VERB"], "bio"), allowed_transitions(["O", "I-X"], None)):
        assert [tuple(part.shape) for part in constraints] == [(2,), (2, 2), (2,)]
        assert all(part.dtype == torch.bool and part.all() for part in constraints)


@pytest.mark.parametrize(
    ("counts", "odd"),
    [
        ({"B-LOC": 60, "I-LOC": 30, "O": 500, "X-LOC": 7, "b-LOC": 3}, {"X-LOC": 7, "b-LOC": 3}),
        ({"B-LOC": 60, "O": 500, "B-": 2, "I": 1}, {"B-": 2, "I": 1}),
        ({"B-LOC": 89, "O": 500, "X-LOC": 11}, {}),
        ({"B-LOC": 60, "I-LOC": 30, "O": 500, "_": 7}, {}),
        ({"I-LOC": 60, "X-LOC": 1}, {}),
        ({"B": 60, "I": 30, "O": 9}, {}),
        ({"NOUN": 60, "VERB": 30, "X": 1}, {}),
        ({"O": 9}, {}),
        ({}, {}),
    ],
)
def test_odd_tags(counts: dict[str, int], odd: dict[str, int]) -> None:
    assert odd_tags(counts) == odd


def test_errors() -> None:
    with pytest.raises(
        ConfigurationError, match=r"unknown tag scheme 'iobs'; known: bio, iobes \(did you mean 'iobes'\?\)"
    ):
        allowed_transitions(BIO, "iobs")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="such as B-PER, I-PER and O, found 'NOUN' at token 2"):
        bio_to_iobes(["O", "NOUN"])
    with pytest.raises(DataError, match="found 'VERB' at token 1"):
        iobes_to_bio(["VERB"])
