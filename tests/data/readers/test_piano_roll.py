"""Piano rolls: which notes sound, and where a file is wrong."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from seqmodels.data.readers import PianoRollReader, create_reader, read_examples
from seqmodels.errors import ConfigurationError, DataError

FOLDER = os.environ.get("SEQMODELS_DATA", "")
PIECES = {"train": [[[21, 108], [], [60.0, 60]], [[64]]], "valid": [[[22]]]}


def read(path: Path, **arguments: Any) -> list[Any]:
    return list(read_examples(PianoRollReader(**arguments), path))


def sounding(example: Any) -> list[list[int]]:
    assert {value for frame in example["features"] for value in frame} <= {0.0, 1.0}
    return [[place for place, value in enumerate(frame) if value] for frame in example["features"]]


def test_frames_are_the_notes_that_sound(write: Any) -> None:
    path = write("a.json", json.dumps(PIECES))
    first, second = read(path)
    assert sounding(first) == [[0, 87], [], [39]]
    assert {len(frame) for frame in first["features"]} == {88}
    assert (first["id"], second["id"]) == ("train/1", "train/2")
    assert [sounding(example) for example in read(path, split="valid")] == [[[1]]]


def test_the_range_may_be_another(write: Any) -> None:
    (example,) = read(write("a.json.gz", gzip.compress(b'{"train": [[[0, 3, 127]]]}')), lowest=0, highest=127)
    assert sounding(example) == [[0, 3, 127]]
    assert len(example["features"][0]) == 128


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"train":\n [', r"a\.json:2: expected JSON: .* at column"),
        (b'{"train": "\xff"}', r"a\.json: cannot be read"),
        ("[[1]]", r"a\.json: expected a JSON object, split to pieces, found \[\[1\]\]"),
        ('{"trian": [], "test": []}', r"no split 'train'; the splits are: trian, test \(did you mean 'trian'\?\)"),
        ("{}", "no split 'train'; the splits are: none"),
        ('{"train": 1}', "train: expected a list of pieces, found 1"),
        ('{"train": [[[60]], 1]}', "train, piece 2: expected a list of steps, found 1"),
        ('{"train": [[]]}', r"train, piece 1: expected a list of steps, found \[\]"),
        ('{"train": [[[60], 61]]}', "train, piece 1, step 2: expected a list of notes, found 61"),
        ('{"train": [[[60], ["C4"]]]}', 'piece 1, step 2: expected notes as whole numbers, found "C4"'),
        ('{"train": [[[60.5]]]}', r"expected notes as whole numbers, found 60\.5"),
        ('{"train": [[[NaN]]]}', "expected notes as whole numbers, found NaN"),
        ('{"train": [[[Infinity]]]}', "expected notes as whole numbers, found Infinity"),
        ('{"train": [[[true]]]}', "expected notes as whole numbers, found true"),
        ('{"train": [[[60], [60, 20]]]}', "piece 1, step 2: expected notes from 21 to 108, found 20; set `lowest`"),
        ('{"train": [[[109]]]}', "expected notes from 21 to 108, found 109"),
        ('{"train": []}', "holds no examples"),
    ],
)
def test_faulty_files(write: Any, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write("a.json", content))


@pytest.mark.parametrize("notes", [{"lowest": -1}, {"highest": 128}, {"lowest": 61, "highest": 60}])
def test_notes_out_of_range(notes: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="expected 0 <= lowest <= highest <= 127, got lowest"):
        create_reader({"name": "piano_roll", **notes})


@pytest.mark.skipif(not FOLDER, reason="SEQMODELS_DATA is not set")
@pytest.mark.parametrize(
    ("split", "pieces", "steps"), [("train", 229, 13_807), ("valid", 76, 4_602), ("test", 77, 4_725)]
)
def test_documented_counts_of_chorales(split: str, pieces: int, steps: int) -> None:
    examples = read(Path(FOLDER) / "jsb-chorales" / "jsb-chorales-quarter.json", split=split)
    assert len(examples) == pieces
    assert sum(len(example["features"]) for example in examples) == steps
