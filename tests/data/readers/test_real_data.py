"""The readers on the public data sets: every documented count, to the sentence and the token."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from seqmodels.data.readers import create_reader, read_examples

FOLDER = os.environ.get("SEQMODELS_DATA", "")
FLIP_FILE = "flip-secondary-structure/splits.zip"
FLIP = {"name": "fasta", "sequences": "sequences.fasta", "labels": "sampled.fasta", "mask": "mask.fasta"}
IMDB = {"name": "text_folders", "line_breaks": True}
AG_NEWS = {"name": "csv", "text": "text", "label": "label", "columns": ["text", "label"], "quoting": False}

# file, reader, examples, steps (of tokens or features; 0 for raw text), distinct targets
DOCUMENTED = [
    ("sst2/stsa.binary.train", "label_text", 6920, 0, 2),
    ("sst2/stsa.binary.dev", "label_text", 872, 0, 2),
    ("sst2/stsa.binary.test", "label_text", 1821, 0, 2),
    ("sst5/stsa.fine.train", "label_text", 8544, 0, 5),
    ("sst5/stsa.fine.dev", "label_text", 1101, 0, 5),
    ("sst5/stsa.fine.test", "label_text", 2210, 0, 5),
    ("trec/TREC.train", {"name": "label_text", "encoding": "iso-8859-1"}, 5452, 0, 50),
    ("trec/TREC.train", {"name": "label_text", "encoding": "iso-8859-1", "label_separator": ":"}, 5452, 0, 6),
    ("trec/TREC.test", {"name": "label_text", "encoding": "iso-8859-1", "label_separator": ":"}, 500, 0, 6),
    ("ag-news/dev.tsv.gz", AG_NEWS, 10001, 0, 4),
    ("ag-news/test.tsv.gz", AG_NEWS, 7600, 0, 4),
    ("imdb/aclImdb-subset.tar.gz", {**IMDB, "inside": "aclImdb/train"}, 5000, 0, 2),
    ("imdb/aclImdb-subset.tar.gz", {**IMDB, "inside": "aclImdb/val"}, 1000, 0, 2),
    ("imdb/aclImdb-subset.tar.gz", {**IMDB, "inside": "aclImdb/test"}, 2500, 0, 2),
    ("japanese-vowels/JapaneseVowels_TRAIN.ts.gz", "uea", 270, 4274, 9),
    ("japanese-vowels/JapaneseVowels_TEST.ts.gz", "uea", 370, 5687, 9),
    ("ud-english-ewt/en_ewt-ud-train.conllu.gz", "conllu", 12544, 204577, 17),
    ("ud-english-ewt/en_ewt-ud-dev.conllu.gz", "conllu", 2001, 25147, 17),
    ("ud-english-ewt/en_ewt-ud-test.conllu.gz", {"name": "conllu", "label": "xpos"}, 2077, 25094, None),
    ("ud-french-sequoia/fr_sequoia-ud-train.conllu.gz", "conllu", 2231, 50502, 16),
    ("ud-french-sequoia/fr_sequoia-ud-dev.conllu.gz", "conllu", 412, 9999, None),
    ("ud-french-sequoia/fr_sequoia-ud-test.conllu.gz", "conllu", 456, 10044, None),
    ("wnut17/wnut17train.conll", "conll", 3394, 62730, 13),
    ("wnut17/emerging.dev.conll", "conll", 1009, 15733, 13),
    ("wnut17/emerging.test.annotated", "conll", 1287, 23394, 13),
    (FLIP_FILE, {**FLIP, "where": {"SET": "test"}}, 364, 84541, 3),
    (FLIP_FILE, {**FLIP, "where": {"SET": "train", "VALIDATION": "True"}}, 1080, 280780, 3),
    (FLIP_FILE, {**FLIP, "where": {"SET": "train", "VALIDATION": "False"}}, 9712, 2479773, 3),
]  # fmt: skip


@pytest.mark.skipif(not FOLDER, reason="SEQMODELS_DATA is not set")
@pytest.mark.parametrize(("file", "spec", "examples", "steps", "targets"), DOCUMENTED)
def test_documented_counts(file: str, spec: Any, examples: int, steps: int, targets: int | None) -> None:
    reader = create_reader(spec)
    found = Counter[str]()
    seen: set[str] = set()
    for example in read_examples(reader, Path(FOLDER) / file):
        values: Any = example
        found["examples"] += 1
        found["steps"] += len(values[reader.inputs]) if reader.inputs != "text" else 0
        seen.update(values[reader.targets] if reader.targets == "tags" else [values[reader.targets]])
    assert found["examples"] == examples
    assert found["steps"] == steps
    assert targets is None or len(seen) == targets


@pytest.mark.skipif(not FOLDER, reason="SEQMODELS_DATA is not set")
def test_splice_sequences_are_characters_and_padding_is_dropped() -> None:
    reader = create_reader(
        {"name": "csv", "columns": ["class", "name", "sequence"], "tokens": "sequence", "label": "class"}
        | {"id": "name", "token_separator": ""}
    )
    examples = list(read_examples(reader, Path(FOLDER) / "splice" / "splice.data"))
    assert Counter(example["label"] for example in examples) == {"EI": 767, "IE": 768, "N": 1655}
    assert {len(example["tokens"]) for example in examples} == {60}
    assert {letter for example in examples for letter in example["tokens"]} == set("ACGTDNSR")
    assert examples[0]["id"] == "ATRINS-DONOR-521"


@pytest.mark.skipif(not FOLDER, reason="SEQMODELS_DATA is not set")
@pytest.mark.parametrize(
    ("split", "pairs"), [("train", 29_000), ("val", 1_014), ("test_2016_flickr", 1_000), ("test_2017_flickr", 1_000)]
)
def test_multi30k_is_aligned(split: str, pairs: int) -> None:
    reader = create_reader({"name": "parallel", "source": "en", "target": "de"})
    examples = list(read_examples(reader, Path(FOLDER) / "multi30k" / split))
    assert len(examples) == pairs
    lengths = [(len(example["text"].split()), len(example["target_text"].split())) for example in examples]
    uneven = sum(max(pair) > 3 * min(pair) for pair in lengths)
    assert uneven < pairs / 1_000, "lines that belong together are about as long"
