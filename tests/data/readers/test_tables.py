"""JSON lines, Parquet and Hugging Face data sets: the same columns, the same examples, the same complaints."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from seqmodels.data.readers import HuggingFaceReader, ParquetReader, create_reader, read_examples
from seqmodels.errors import ConfigurationError, DataError

Write = Callable[[str, "str | bytes"], Path]
Save = Callable[[list[dict[str, Any]], Path], Path]


def save_jsonl(rows: list[dict[str, Any]], folder: Path) -> Path:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def save_parquet(rows: list[dict[str, Any]], folder: Path) -> Path:
    path = folder / "x.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    return path


def save_huggingface(rows: list[dict[str, Any]], folder: Path) -> Path:
    path = folder / "x"
    datasets.Dataset.from_list(rows).save_to_disk(path)
    return path


FORMATS: list[tuple[str, Save]] = [
    ("jsonl", save_jsonl),
    ("parquet", save_parquet),
    ("huggingface", save_huggingface),
]
every_format = pytest.mark.parametrize(("name", "save"), FORMATS)

ROWS = [
    {
        "t": f"text {n}",
        "words": ["a"] * n,
        "roles": ["X"] * n,
        "scored": [True] * n,
        "y": n,
        "topics": ["p", "q"],
        "series": [[n, 2.0], [3, 4]],
    }
    for n in range(1, 6)
]


@every_format
def test_every_kind_of_column(name: str, save: Save, tmp_path: Path) -> None:
    path = save(ROWS, tmp_path)

    def read(**columns: str) -> list[Any]:
        return list(read_examples(create_reader({"name": name, **columns}), path))

    assert read(text="t", label="y", id="y") == [
        {"text": f"text {n}", "label": f"{n}", "id": f"{n}"} for n in range(1, 6)
    ]
    assert read(tokens="words", tags="roles", mask="scored")[2] == {
        "tokens": ["a", "a", "a"],
        "tags": ["X", "X", "X"],
        "mask": [True, True, True],
    }
    assert read(features="series", labels="topics")[0] == {"features": [[1.0, 2.0], [3.0, 4.0]], "labels": ["p", "q"]}
    assert read(tokens="t")[1] == {"tokens": ["text", "2"]}


@every_format
def test_texts_to_be_written_may_be_nested(name: str, save: Save, tmp_path: Path) -> None:
    rows = [{"en.": "dotted", "pair": {"en": f"cat {n}", "de": {"DE": f"Katze {n}"}, "no": n}} for n in range(3)]
    path = save(rows, tmp_path)

    def read(**columns: str) -> list[Any]:
        return list(read_examples(create_reader({"name": name, **columns}), path))

    assert read(text="pair.en", target_text="pair.de.DE", id="pair.no")[1] == {
        "text": "cat 1",
        "target_text": "Katze 1",
        "id": "1",
    }
    assert read(text="en.")[0] == {"text": "dotted"}, "a column whose name has a dot is itself"
    assert list(
        read_examples(create_reader({"name": name, "text": "pair.en", "target_text": "x"}), path, targets=False)
    ) == [{"text": f"cat {n}"} for n in range(3)]
    for column, message in (
        ("pair.fr", r"x.*:1: column 'pair' has no key 'fr'; its keys are: en, de, no"),
        ("pair.de.ED", r"x.*:1: column 'pair\.de' has no key 'ED'; its keys are: DE"),
        ("pair.en.us", r"x.*:1: column 'pair\.en': expected the key 'us' inside, found 'cat 0'"),
        ("pari.en", r"x.*: no column 'pari\.en'; the columns are: en\., pair"),
        ("pair.no", r"x.*:1: column 'pair\.no': expected text, found 0"),
    ):
        with pytest.raises(DataError, match=message):
            read(text="pair.en", target_text=column)


def test_translations_of_the_hub(tmp_path: Path) -> None:
    features = datasets.Features({"translation": datasets.Translation(languages=["de", "en"])})
    rows = [{"translation": {"en": "a cat", "de": "eine Katze"}}]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "x")
    reader = HuggingFaceReader(text="translation.en", target_text="translation.de")
    assert list(read_examples(reader, tmp_path / "x")) == [{"text": "a cat", "target_text": "eine Katze"}]


@every_format
def test_numbers_alone_are_one_feature(name: str, save: Save, tmp_path: Path) -> None:
    path = save([{"x": [1.0, 2.0], "y": True}], tmp_path)
    reader = create_reader({"name": name, "features": "x", "label": "y"})
    assert list(read_examples(reader, path)) == [{"features": [[1.0], [2.0]], "label": "True"}]


@every_format
def test_a_missing_column(name: str, save: Save, tmp_path: Path) -> None:
    path = save([{"text": "a", "lable": "b"}], tmp_path)
    reader = create_reader({"name": name, "text": "text", "label": "label"})
    message = r"x.*: no column 'label'; the columns are: text, lable \(did you mean 'lable'\?\)"
    with pytest.raises(DataError, match=message):
        list(read_examples(reader, path))
    assert list(read_examples(reader, path, targets=False)) == [{"text": "a"}]


@every_format
@pytest.mark.parametrize(
    ("columns", "value", "message"),
    [
        ({"text": "v"}, 3, "column 'v': expected text, found 3"),
        ({"text": "v"}, None, r"column 'v': expected text, found nothing \(null\)"),
        ({"tokens": "v"}, 3, "column 'v': expected a list or one text, found 3"),
        ({"features": "v"}, 3, "column 'v': expected a list with the numbers of each step, found 3"),
        ({"features": "v"}, ["a"], "column 'v': expected numbers at every step: could not convert"),
        ({"features": "v"}, [[1.0, 2.0], [3.0, math.nan]], "column 'v': expected finite numbers, found nan at step 2"),
        ({"features": "v"}, [1.0, -math.inf], "column 'v': expected finite numbers, found -inf at step 2"),
        ({"tokens": "t", "tags": "v"}, ["X", "Y"], "expected 1 tags, one for each of its tokens, found 2"),
        ({"text": "t", "label": "v"}, ["a" * 99], r"column 'v': expected a name or a number, found \['a+\.\.\."),
        (
            {"tokens": "t", "tags": "t", "mask": "v"},
            [2],
            r"column 'v': expected a list of true and false or of 1 and 0",
        ),
    ],
)
def test_a_value_of_another_kind(
    name: str, save: Save, columns: dict[str, str], value: Any, message: str, tmp_path: Path
) -> None:
    path = save([{"t": "a", "v": value}], tmp_path)
    with pytest.raises(DataError, match=f"{path.name}:1: {message}"):
        list(read_examples(create_reader({"name": name, **columns}), path))


@pytest.mark.parametrize("name", ["jsonl", "parquet", "huggingface"])
def test_a_reader_that_is_not_told_its_columns_shows_how(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"got none; such as reader: {{name: {name}, text: text, label: lab"):
        create_reader(name)


def test_a_mask_needs_tags() -> None:
    with pytest.raises(ConfigurationError, match="a mask says which tags are scored"):
        ParquetReader(tokens="t", mask="m")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'a': 1}", "expected one JSON object: Expecting property name enclosed in double quotes at column 2"),
        ("[1]", "expected a JSON object in braces, found '[1]'"),
        ('{"t": "b"', "expected one JSON object: Expecting ',' delimiter at column 10"),
        ('{"y": 1}', "no column 't'; the columns are: y"),
    ],
)
def test_a_line_that_is_no_object(line: str, message: str, write: Write) -> None:
    path = write("x.jsonl", '{"t": "a"}\n\n' + line + "\n")
    with pytest.raises(DataError, match=re.escape(f"x.jsonl:3: {message}")):
        list(read_examples(create_reader({"name": "jsonl", "text": "t"}), path))


def test_a_file_that_is_no_parquet(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x.parquet: cannot be read as Parquet after row 0"):
        list(read_examples(ParquetReader(text="t"), write("x.parquet", "t\na\n")))
    whole = save_parquet(ROWS, tmp_path).read_bytes()
    with pytest.raises(DataError, match=r"y.parquet: cannot be read as Parquet"):
        list(read_examples(ParquetReader(text="t"), write("y.parquet", whole[:-20])))
    with pytest.raises(DataError, match="Parquet file cannot be read from standard input"):
        list(read_examples(ParquetReader(text="t"), "-"))


def test_integers_with_gaps_are_classes_like_others(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"t": ["a"], "y": [2.0]}), path)
    assert list(read_examples(ParquetReader(text="t", label="y"), path)) == [{"text": "a", "label": "2"}]


def class_columns(label: int) -> datasets.Dataset:
    polarity = datasets.ClassLabel(names=["bad", "good"])
    features = datasets.Features(
        {"t": datasets.Value("string"), "y": polarity, "words": datasets.Sequence(datasets.Value("string"))}
        | {"tags": datasets.Sequence(polarity)}
    )
    row = {"t": "a", "y": label, "words": ["a", "b", "c"], "tags": [1, 0, 1]}
    return datasets.Dataset.from_list([row], features=features)


def test_classes_come_by_name(tmp_path: Path) -> None:
    class_columns(1).save_to_disk(tmp_path / "x")
    labelled = list(read_examples(HuggingFaceReader(text="t", label="y"), tmp_path / "x"))
    assert labelled == [{"text": "a", "label": "good"}]
    tagged = list(read_examples(HuggingFaceReader(tokens="words", tags="tags"), tmp_path / "x"))
    assert tagged == [{"tokens": ["a", "b", "c"], "tags": ["good", "bad", "good"]}]


def test_a_split_without_labels(tmp_path: Path) -> None:
    class_columns(-1).save_to_disk(tmp_path / "x")
    reader = HuggingFaceReader(text="t", label="y")
    with pytest.raises(DataError, match="x:1: expected a class, found -1: this split has no labels"):
        list(read_examples(reader, tmp_path / "x"))
    assert list(read_examples(reader, tmp_path / "x", targets=False)) == [{"text": "a"}]


def test_splits_by_name(tmp_path: Path) -> None:
    splits = datasets.DatasetDict({"train": class_columns(0), "validation": class_columns(1)})
    splits.save_to_disk(tmp_path / "x")
    reader = HuggingFaceReader(text="t", label="y", split="validation")
    assert [example["label"] for example in read_examples(reader, tmp_path / "x")] == ["good"]
    reader = HuggingFaceReader(text="t", label="y", split="validatoin")
    message = r"no split 'validatoin'; the splits are: train, validation \(did you mean 'validation'\?\)"
    with pytest.raises(DataError, match=message):
        list(read_examples(reader, tmp_path / "x"))


def test_a_folder_of_data_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"t": "a", "y": "b"}\n')
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    reader = HuggingFaceReader(text="t", label="y")
    assert list(read_examples(reader, folder)) == [{"text": "a", "label": "b"}]


def test_a_name_that_is_no_folder_is_one_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reader = HuggingFaceReader(text="t")
    assert reader.resolve("organisation/name") == Path("organisation/name")
    with pytest.raises(DataError, match="no such file or folder"):
        reader.resolve("./organisation/name")


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be loaded as a Hugging Face data set"):
        list(read_examples(HuggingFaceReader(text="t"), tmp_path))
