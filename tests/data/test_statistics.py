from __future__ import annotations

from pathlib import Path

import pytest

from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.labelled_sequences import LabelledSequences
from seqmodels.data.sequence_pairs import SequencePairs
from seqmodels.data.statistics import DataStatistics, TargetStatistics, describe, format_table

TRAIN = "the\tD\ncat\tN\n\nthe\tD\nold\tA\ncat\tN\n\n"
VALIDATION = "the\tD\ndog\tN\n\nhey\tI\n\n"


@pytest.fixture
def data(tmp_path: Path) -> LabelledSequences:
    (tmp_path / "train").write_text(TRAIN)
    (tmp_path / "validation").write_text(VALIDATION)
    data = LabelledSequences(
        "conll",
        train=str(tmp_path / "train"),
        validation=str(tmp_path / "validation"),
        characters=True,
        cache_dir=str(tmp_path / "cache"),
    )
    data.setup("fit")
    return data


def test_measures_each_split(data: LabelledSequences):
    train, validation = data.statistics()
    assert train == DataStatistics(
        split="train",
        rows=2,
        steps=5,
        shortest=2,
        median=2.5,
        p95=pytest.approx(2.95),
        longest=3,
        truncated=0,
        unknown_tokens=0,
        unknown_characters=0,
        labels={"D": 2, "N": 2, "A": 1},
        unseen={},
        padding=pytest.approx(100 / 6),
        batches=1,
    )
    assert validation.unknown_tokens == pytest.approx(100 * 2 / 3)
    assert validation.unknown_characters == pytest.approx(100 * 2 / 9)  # g, y
    assert validation.labels == {"D": 1, "N": 1}
    assert validation.unseen == {"I": 1}


@pytest.fixture
def pairs(tmp_path: Path) -> SequencePairs:
    rows = {"train": ["a b\tx", "a\tx y z", "a b a b a\tx", "\tx"], "validation": ["a c\tx w w"], "predict": ["b"]}
    for split, lines in rows.items():
        (tmp_path / f"{split}.tsv").write_text("".join(f"{line}\n" for line in lines))
    return SequencePairs(
        {"name": "csv", "text": "s", "target_text": "t", "columns": ["s", "t"]},
        **{split: str(tmp_path / f"{split}.tsv") for split in rows},
        tokenizer={"name": "word", "split": "whitespace"},
        max_length_ratio=3.0,
        cache_dir=str(tmp_path / "cache"),
    )


def test_measures_both_sides_of_pairs(pairs: SequencePairs):
    pairs.setup()
    train, validation, predict = pairs.statistics()
    assert (train.rows, train.steps, train.longest) == (2, 3, 2)
    assert train.target == TargetStatistics(
        steps=6, shortest=2, median=3, p95=pytest.approx(3.9), longest=4, unknown_tokens=0
    )
    assert train.dropped == {"with an empty side": 1, "beyond max_length_ratio: 3.0": 1}
    assert train.padding == pytest.approx(100 * (1 - 9 / 12))
    assert validation.unknown_tokens == 50
    assert validation.target.unknown_tokens == 50
    assert predict.target is None
    lines = pairs.describe().splitlines()
    assert [line[:10].strip() for line in lines[1:6]] == ["train", "target", "validation", "target", "predict"]
    assert len({len(line) for line in lines[:6]}) == 1, "columns are aligned"
    assert lines[0].split("  ")[-1] == "left out"
    assert lines[1].split()[-1] == "2"
    assert lines[6:] == [
        "vocabulary: 6 (word)",
        "target vocabulary: 7 (word)",
        "pairs of train that are left out: 1 with an empty side, 1 beyond max_length_ratio: 3.0",
    ]


def test_a_shared_vocabulary_is_said_to_be_one(pairs: SequencePairs):
    shared = SequencePairs(**{**pairs.arguments, "shared_vocabulary": True})
    shared.setup("fit")
    assert "target vocabulary: the same" in shared.describe().splitlines()


def test_table_is_for_people(data: LabelledSequences):
    lines = data.describe().splitlines()
    assert lines[0].split("  ")[0] == "split"
    assert [line.split()[0] for line in lines[1:3]] == ["train", "validation"]
    assert len({len(line) for line in lines[:3]}) == 1, "columns are aligned"
    assert "vocabulary: 7 (word), 10 characters" in lines
    assert "3 labels in train: D 40.0%, N 40.0%, A 20.0%" in lines
    assert lines[-1] == "labels of validation that training does not have, always counted wrong: I (1x)"


def test_table_leaves_out_what_does_not_occur(data: LabelledSequences):
    train = data.statistics()[0]
    table = format_table([train], most=2)
    assert "truncated" not in table
    assert "unseen" not in table
    assert "D 40.0%, N 40.0%, and 1 more" in table


def test_padding_is_that_of_the_sampler(data: LabelledSequences):
    encoded = data.encoded("train")
    sampler = BucketSampler(encoded.encoded.steps().lengths(), batch_size=1)
    assert describe("train", encoded, data.schema, sampler).padding == 0
