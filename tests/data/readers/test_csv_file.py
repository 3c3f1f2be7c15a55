from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmodels.data.readers import CsvReader, read_examples
from seqmodels.errors import ConfigurationError, DataError

Write = Callable[[str, "str | bytes"], Path]


def read(path: Path, targets: bool = True, **arguments: Any) -> list[Any]:
    return list(read_examples(CsvReader(**arguments), path, targets=targets))


def test_every_kind_of_column(write: Write) -> None:
    path = write("x.csv", "n,words,tags\n1, a b ,X Y\n2,c,Z\n")
    assert read(path, tokens="words", tags="tags", id="n") == [
        {"tokens": ["a", "b"], "tags": ["X", "Y"], "id": "1"},
        {"tokens": ["c"], "tags": ["Z"], "id": "2"},
    ]
    path = write("y.csv", "t|topics\none|a; b\nnone|\n")
    assert read(path, text="t", labels="topics", delimiter="|", label_separator=";") == [
        {"text": "one", "labels": ["a", "b"]},
        {"text": "none", "labels": []},
    ]


def test_every_character_a_token(write: Write) -> None:
    path = write("splice.data", "EI,  A-1,   ACG\n")
    columns = ["class", "name", "sequence"]
    expected = {"tokens": ["A", "C", "G"], "label": "EI", "id": "A-1"}
    assert read(path, tokens="sequence", label="class", id="name", columns=columns, token_separator="") == [expected]


def test_quotes(write: Write) -> None:
    path = write("x.csv", 't,y\r\n"a, ""b""\r\nc",1\r\nd,2\r\n')
    assert [example["text"] for example in read(path, text="t", label="y")] == ['a, "b"\nc', "d"]
    path = write("x.tsv", '"open\ta\nb"c\td\n')
    texts = read(path, text="t", label="y", columns=["t", "y"], quoting=False)
    assert [example["text"] for example in texts] == ['"open', 'b"c']


def test_spaces_are_kept_where_asked(write: Write) -> None:
    assert read(write("x.csv", "t\n  a \n"), text="t", strip=False) == [{"text": "  a "}]


def test_a_text_longer_than_the_usual_limit(write: Write) -> None:
    text = "x" * 200_003
    assert read(write("x.csv", f"t\n{text}\n"), text="t") == [{"text": text}]


def test_prediction_without_the_columns_of_targets(write: Write) -> None:
    assert read(write("x.csv", "t\na\n"), targets=False, text="t", label="y") == [{"text": "a"}]
    headerless = {"text": "t", "label": "y", "columns": ["y", "t"]}
    assert read(write("y.csv", "a\nb\n"), targets=False, **headerless) == [{"text": "a"}, {"text": "b"}]
    assert read(write("z.csv", "1,a\n"), targets=False, **headerless) == [{"text": "a"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,lable\na,1\n",
            "x.csv:1: no column 'label'; the columns are: text, lable (did you mean 'lable'?); a file",
        ),
        (
            "text,n,m,label\na,1,2,3\na,1,2\n",
            "x.csv:3: expected 4 comma-separated columns (text, n, m, label), found 3",
        ),
        ('text,label\n"a\nb",1\na,b,c\n', "x.csv:4: expected 2 comma-separated columns (text, label), found 3"),
        ("text,label\na, \n", "x.csv:2: column 'label': expected a name or a number, found ''"),
        ('text,label\nb,1\n"a,1\nb,2\n', "x.csv:3: not a row of a table: unexpected end of data; if the file knows no"),
        ("text,label,text\na,1,b\n", "x.csv:1: expected different column names, found text more than once"),
    ],
)
def test_a_wrong_file(content: str, message: str, write: Write) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read(write("x.csv", content), text="text", label="label")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {},
            r"exactly one of text, tokens and features .* got none; such as reader: \{name: csv, text: text, label",
        ),
        ({"text": "t", "tokens": "u"}, "exactly one of .* got text, tokens"),
        (
            {"text": "t", "label": "y", "labels": "z"},
            "at most one of label, labels, tags and target_text .* got label, labels",
        ),
        ({"text": "t", "tags": "y"}, "tags belong to tokens"),
        ({"text": "t", "labels": "y", "label_separator": ""}, "label_separator must be at least one character"),
        ({"text": "t", "delimiter": "::"}, "delimiter must be one character, got '::'"),
        ({"text": "t", "columns": "t"}, "columns must be a list of names, got the text 't'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CsvReader(**arguments)


def test_columns_must_name_what_is_read() -> None:
    with pytest.raises(ConfigurationError, match=r"columns must name 'label', got text, lable .did you mean 'lable'"):
        CsvReader(text="text", label="label", columns=["text", "lable"])


text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), min_size=1)


@given(st.lists(st.tuples(text, st.from_regex(r"\A[a-z]+\Z")), min_size=1), st.sampled_from(",\t;|"))
def test_what_the_csv_module_writes_comes_back(rows: list[tuple[str, str]], delimiter: str) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter).writerows([("t", "y"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(written.getvalue().encode())
        examples = read(path, text="t", label="y", delimiter=delimiter, strip=False)
    assert [(example["text"], example["label"]) for example in examples] == rows


@pytest.mark.parametrize(
    "content", ["t\ty\na, b\tc\n", 't,y\n"a, b",c\n', '\n\nt,y\n"a, b",c\n', "\n\nt\ty\na, b\tc\n"]
)
def test_a_file_without_ending_tells_its_delimiter_by_the_first_line(content: str, write: Write) -> None:
    assert read(write("piped", content), text="t", label="y") == [{"text": "a, b", "label": "c"}]


def test_the_delimiter_that_is_given_or_told_by_the_ending_is_kept(write: Write) -> None:
    assert read(write("x.csv", "t,a\tb\nc,d\n"), text="t", label="a\tb", strip=False) == [{"text": "c", "label": "d"}]
    with pytest.raises(DataError, match="piped:1: no column 't'; the columns are: t\ty"):
        read(write("piped", "t\ty\na\tb\n"), text="t", label="y", delimiter=",")


def test_lines_are_counted_from_the_first_blank_one(write: Write) -> None:
    with pytest.raises(DataError, match="piped:5: expected 2 tab-separated columns"):
        read(write("piped", "\n\nt\ty\na\tb\nc\n"), text="t", label="y")


def test_a_text_to_be_written(write: Write) -> None:
    path = write("x.tsv", "en\tde\na cat\teine Katze\nno\t\n")
    reader = CsvReader(text="en", target_text="de")
    assert list(read_examples(reader, path)) == [
        {"text": "a cat", "target_text": "eine Katze"},
        {"text": "no", "target_text": ""},
    ]
    headerless = CsvReader(text="en", target_text="de", columns=["en", "de"])
    only_sources = write("y.tsv", "a cat\n")
    assert list(read_examples(headerless, only_sources, targets=False)) == [{"text": "a cat"}]
