"""What every reader of lines promises, whatever an editor or a download did to the file."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from seqmodels.data.readers import Reader, create_reader, list_readers, read_examples
from seqmodels.errors import DataError

Write = Callable[[str, "str | bytes"], Path]


class Sample(NamedTuple):
    spec: Any
    name: str
    content: str
    examples: list[dict[str, Any]]


TAGS = [{"tokens": ["Zoë", "ran"], "tags": ["PROPN", "VERB"]}, {"tokens": ["No"], "tags": ["INTJ"]}]
CONLLU = """\
1\tZoë\tZoë\tPROPN\t_\t_\t2\tnsubj\t_\t_
2\tran\trun\tVERB\t_\t_\t0\troot\t_\t_

1\tNo\tno\tINTJ\t_\t_\t0\troot\t_\t_
"""
LABELLED = [{"text": "zoë ran", "label": "a"}, {"text": "no", "label": "b"}]
SAMPLES = [
    Sample({"name": "csv", "text": "t", "label": "y"}, "x.csv", "t,y\nzoë ran,a\nno,b\n", LABELLED),
    Sample({"name": "csv", "text": "t", "label": "y"}, "x.tsv", "y\tt\na\tzoë ran\nb\tno\n", LABELLED),
    Sample(
        {"name": "jsonl", "text": "t", "label": "y"},
        "x.jsonl",
        '{"t": "zoë ran", "y": "a"}\n{"y": "b", "t": "no"}\n',
        LABELLED,
    ),
    Sample("label_text", "x.txt", "a zoë ran\nb no\n", LABELLED),
    Sample("conll", "x.conll", "Zoë\tPROPN\nran\tVERB\n\nNo\tINTJ\n", TAGS),
    Sample("conllu", "x.conllu", CONLLU, TAGS),
    Sample(
        "fasta",
        "x.fasta",
        ">a\nMK\nV\n>b\nTV\n",
        [{"tokens": ["M", "K", "V"], "id": "a"}, {"tokens": ["T", "V"], "id": "b"}],
    ),
    Sample(
        "uea",
        "x.ts",
        "#é\n@dimensions 2\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n7:8:b\n",
        [{"features": [[1, 4], [2, 5], [3, 6]], "label": "a"}, {"features": [[7, 8]], "label": "b"}],
    ),
]
PLAIN = Sample("text", "x.txt", "zoë ran\nno\n", [{"text": "zoë ran"}, {"text": "no"}])

every_sample = pytest.mark.parametrize("sample", [*SAMPLES, PLAIN], ids=lambda sample: sample.name)


def reader_of(sample: Sample) -> Reader:
    return create_reader(sample.spec)


def read(sample: Sample, path: Path | str, targets: bool = True) -> list[Any]:
    return list(read_examples(reader_of(sample), path, targets=targets))


@every_sample
def test_reads_the_examples_in_order(sample: Sample, write: Write) -> None:
    assert read(sample, write(sample.name, sample.content)) == sample.examples


@every_sample
def test_prediction_reads_the_inputs_alone(sample: Sample, write: Write) -> None:
    reader = reader_of(sample)
    inputs = [
        {key: value for key, value in example.items() if key in (reader.inputs, "id")} for example in sample.examples
    ]
    assert read(sample, write(sample.name, sample.content), targets=False) == inputs


@every_sample
@pytest.mark.parametrize("change", ["windows", "mark", "no end", "gzip"])
def test_what_editors_and_downloads_do_changes_nothing(sample: Sample, change: str, write: Write) -> None:
    raw, name = sample.content.encode(), sample.name
    if change == "windows":
        raw = raw.replace(b"\n", b"\r\n")
    elif change == "mark":
        raw = b"\xef\xbb\xbf" + raw
    elif change == "no end":
        raw = raw.rstrip(b"\n")
    else:
        raw, name = gzip.compress(raw), name + ".gz"
    assert read(sample, write(name, raw)) == sample.examples


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_blank_lines_at_the_end_are_no_examples(sample: Sample, write: Write) -> None:
    assert read(sample, write(sample.name, sample.content + "\n\n\n")) == sample.examples


def test_blank_lines_of_plain_text_are_empty_texts(write: Write) -> None:
    assert read(PLAIN, write("x.txt", "a\n\nb\n\n")) == [{"text": "a"}, {"text": ""}, {"text": "b"}, {"text": ""}]


@every_sample
def test_reads_standard_input(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    content = sample.content
    if sample.name.endswith(".tsv"):
        content = content.replace("\t", ",")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert read(sample, "-") == sample.examples
    assert not sys.stdin.closed


@every_sample
def test_an_empty_file_is_an_error(sample: Sample, write: Write) -> None:
    path = write(sample.name, "")
    with pytest.raises(DataError, match=f"{path.name}: holds no examples"):
        read(sample, path)


@every_sample
def test_bytes_of_another_encoding_name_the_line(sample: Sample, write: Write) -> None:
    raw = sample.content.encode() + b"\xe9\n"
    line = raw.count(b"\n")
    path = write(sample.name, raw)
    with pytest.raises(DataError, match=rf"{path.name}:{line}: byte 0xe9 at column 1 is not utf-8; .*iso-8859-1"):
        read(sample, path)


@every_sample
@pytest.mark.parametrize("damage", ["truncated", "wrong checksum", "no such block"])
def test_a_damaged_gzip_file_is_an_error(sample: Sample, damage: str, write: Write) -> None:
    raw = bytearray(gzip.compress(sample.content.encode()))
    if damage == "truncated":
        raw = raw[:-9]
    elif damage == "wrong checksum":
        raw[-8] ^= 255
    else:
        raw[10] |= 0b110  # the two bits after the first name the kind of block; 3 is none
    with pytest.raises(DataError, match=r"gz:\d+: cannot be read"):
        read(sample, write(sample.name + ".gz", bytes(raw)))


@every_sample
def test_a_folder_is_no_file_of_lines(sample: Sample, tmp_path: Path) -> None:
    if sample.spec == "fasta":
        pytest.skip("reads folders")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read(sample, tmp_path)


@every_sample
def test_an_example_is_there_before_the_file_is_read_to_its_end(sample: Sample, write: Write) -> None:
    path = write(sample.name, sample.content.encode() + b"\xff\n")
    assert next(read_examples(reader_of(sample), path)) == sample.examples[0]


def test_registered() -> None:
    samples = {sample.spec if isinstance(sample.spec, str) else sample.spec["name"] for sample in [*SAMPLES, PLAIN]}
    assert samples | {"parquet", "huggingface", "text_folders"} <= set(list_readers())
